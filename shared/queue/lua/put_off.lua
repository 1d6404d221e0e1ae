-- put_off: something to do later, once however often it is asked for meanwhile.
-- ARGV[3]: what, wait (ms)
-- Result: 1 when it is new, 0 when it is put off already: then its time stays.
-- Never touches a run or a job.

return call('ZADD', key.later, 'NX', now + args.wait, args.what)
