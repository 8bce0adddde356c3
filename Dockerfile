# Caudal's image: Node, the sources as they are (Node runs them), and what they need in production. Nothing is compiled.
#
#   docker build --tag caudal .
#   docker run --rm caudal help
#
# The runtime image may be any that has Node 24 and `env` in their usual places; no shell is used in it.
ARG BUILD_IMAGE=node:24-bookworm-slim
ARG RUNTIME_IMAGE=node:24-bookworm-slim

# Only what says which packages are needed, so that a change of sources does not fetch them again.
FROM ${BUILD_IMAGE} AS manifests
WORKDIR /app
COPY . .
RUN find . -type f ! -name package.json ! -name package-lock.json ! -name .npmrc -delete && find . -type d -empty -delete

FROM ${BUILD_IMAGE} AS dependencies
WORKDIR /app
COPY --from=manifests /app .
# Optional packages are left out: they are PostgreSQL for a process that has no DATABASE_URL. No package needs its
# install script here.
RUN npm ci --omit=dev --omit=optional --ignore-scripts && npm cache clean --force
# Types and source maps, a third of what packages bring, are for those who write code.
RUN find . -path '*/node_modules/*' -type f \
      \( -name '*.map' -o -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' \) -delete

FROM ${BUILD_IMAGE} AS init
# hadolint ignore=DL3008 -- the base image says which distribution, and that which version
RUN apt-get update && apt-get install --yes --no-install-recommends tini
# A command that needs no shell: the image has it for `kubectl exec ... -- caudal deadletters list` too.
RUN printf '#!/usr/bin/env node\nimport "/app/apps/cli/src/main.ts";\n' > /caudal && chmod 755 /caudal

# What Node makes of the sources: a process with it starts in half of the time. Node takes it for the same version of itself, the
# same paths and the same user alone, and does without it otherwise.
FROM ${BUILD_IMAGE} AS compiled
ENV NODE_COMPILE_CACHE=/app/.compile-cache
WORKDIR /app
COPY --from=dependencies /app .
COPY . .
RUN mkdir .compile-cache && chown 1000:1000 .compile-cache
USER 1000:1000
# Node keeps the files for their owner; in the image they are root's, as everything is.
RUN node --input-type=module --eval \
      "for (const file of ['apps/cli/src/program.ts', 'apps/server/src/start.ts', \
         'packages/projections/src/stores/mongodb-store.ts', 'packages/projections/src/stores/elasticsearch-store.ts', \
         'packages/cache/src/shared.ts']) await import('/app/' + file)" \
    && chmod -R a+rX .compile-cache

FROM ${RUNTIME_IMAGE} AS runtime
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="caudal" \
      org.opencontainers.image.description="An event-sourced order-to-delivery backend" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
ENV NODE_ENV=production CAUDAL_HOST=0.0.0.0 NODE_COMPILE_CACHE=/app/.compile-cache
WORKDIR /app
COPY --from=init /usr/bin/tini-static /usr/local/bin/tini
COPY --from=init /caudal /usr/local/bin/caudal
COPY --from=dependencies /app .
COPY . .
COPY --from=compiled --chown=0:0 /app/.compile-cache .compile-cache
# A number, so that Kubernetes can see that it is not root's. Nothing under /app is its own: it only reads.
USER 1000:1000
EXPOSE 8080 9090
# tini is process 1: it passes signals on, also before Node listens to them, and reaps what has ended.
ENTRYPOINT ["tini", "--", "caudal"]
CMD ["start"]

# For skaffold dev: sources can be replaced in the running container, and Node starts again when they are.
FROM runtime AS development
COPY --chown=1000:1000 packages packages
COPY --chown=1000:1000 services services
COPY --chown=1000:1000 apps apps
ENTRYPOINT ["tini", "--", "node", "--watch", "--watch-preserve-output", "apps/cli/src/main.ts"]

FROM runtime
