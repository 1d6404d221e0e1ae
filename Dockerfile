# cockpit-sync in a small image. `docker build .` gives the program; `--target example` also has what makes sample
# instances (see docker-compose.yml).

FROM rust:1-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --locked --profile dist --package cockpit-sync --package cockpit-sync-instances

FROM debian:bookworm-slim AS example
COPY --from=build /src/target/dist/cockpit-instances /usr/local/bin/
# New volumes get the owner of the directory they are put on.
RUN install --directory --owner www-data --group www-data /staging /production
USER www-data

# The last stage is what is built when none is named.
FROM debian:bookworm-slim AS cockpit-sync
RUN apt-get update && apt-get install --yes --no-install-recommends ca-certificates curl && rm -rf /var/lib/apt/lists/*
RUN useradd --system --no-create-home --uid 10001 cockpit-sync
COPY --from=build /src/target/dist/cockpit-sync /usr/local/bin/
# Workers and commands need no rights. An agent runs as the user that owns Cockpit's files: see docker-compose.yml.
# As a number, so that Kubernetes can see that it is not root. (curl is for health checks.)
USER 10001
ENTRYPOINT ["cockpit-sync"]
