"""streaq: the same jobs, one by one, in bulk, and drained by one worker. Prints its rates as JSON."""

import json
import os
import sys
import time

import anyio
from streaq import VERSION, Worker

URL, JOBS, BYTES = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
FEW, BULK = JOBS // 10, 500
ALL = JOBS + FEW
PAYLOAD = "x" * BYTES

worker = Worker(redis_url=URL, concurrency=64, handle_signals=False)
done = 0
over = anyio.Event()


@worker.task(ttl=0)
async def nothing(payload: str) -> None:
    global done
    done += 1
    if done == ALL:
        over.set()


async def main() -> None:
    async with worker:
        begun = time.perf_counter()
        for _ in range(FEW):
            await nothing.enqueue(PAYLOAD)
        one_by_one = FEW / (time.perf_counter() - begun)

        begun = time.perf_counter()
        for _ in range(JOBS // BULK):
            await worker.enqueue_many([nothing.enqueue(PAYLOAD) for _ in range(BULK)])
        bulk = JOBS / (time.perf_counter() - begun)

    begun = time.perf_counter()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(worker.run_async)
        await over.wait()
        drain = ALL / (time.perf_counter() - begun)
        print(json.dumps({"version": VERSION, "one_by_one": one_by_one, "bulk": bulk, "drain": drain}), flush=True)
        os._exit(0)  # its way of stopping is not what is measured


anyio.run(main)
