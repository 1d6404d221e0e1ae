# cockpit-sync in a small image. `docker build .` gives the program; `--target example` also has what makes sample
# instances (see docker-compose.yml).

FROM rust:1-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --locked --release --package cockpit-sync --package cockpit-sync-instances

FROM debian:bookworm-slim AS example
COPY --from=build /src/target/release/cockpit-instances /usr/local/bin/

# The last stage is what is built when none is named.
FROM debian:bookworm-slim AS cockpit-sync
RUN apt-get update && apt-get install --yes --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/*
RUN useradd --system --no-create-home cockpit-sync
COPY --from=build /src/target/release/cockpit-sync /usr/local/bin/
# Workers and commands need no rights. An agent runs as the user that owns Cockpit's files: see docker-compose.yml.
USER cockpit-sync
ENTRYPOINT ["cockpit-sync"]
