# Caudal's image: Node, the sources as they are (Node runs them), and the packages that they need in production. Nothing is
# compiled.
#
#   docker build --tag caudal .
#   docker run --rm caudal help
#
# Any image with Node 24 and `env` in their usual places can be the runtime image; it needs no shell.
#
# The base image is named by its digest, of an index for all platforms: the tag beside it says which one it is, and pulls nothing.
# To renew it: docker buildx imagetools inspect node:24-bookworm-slim
ARG BUILD_IMAGE=node:24.19.0-bookworm-slim@sha256:a9f5f7c91a432850b2a8a7797adf5eadb6c733ceed61167806cee7ea7fbc29df
ARG RUNTIME_IMAGE=node:24.19.0-bookworm-slim@sha256:a9f5f7c91a432850b2a8a7797adf5eadb6c733ceed61167806cee7ea7fbc29df

# Only the files that list the packages, so that a change of sources does not install them again.
FROM ${BUILD_IMAGE} AS manifests
WORKDIR /app
COPY . .
RUN find . -type f ! -name package.json ! -name package-lock.json ! -name .npmrc -delete && find . -type d -empty -delete

FROM ${BUILD_IMAGE} AS dependencies
WORKDIR /app
COPY --from=manifests /app .
# Optional packages are left out: they are the embedded PostgreSQL, for a process without DATABASE_URL. No package needs its
# install script here.
RUN npm ci --omit=dev --omit=optional --ignore-scripts && npm cache clean --force
# What is installed, as CycloneDX.
COPY scripts/sbom.ts scripts/
RUN node scripts/sbom.ts sbom.cdx.json
# Only developers need types and source maps, a third of the packages' size.
RUN find . -path '*/node_modules/*' -type f \
      \( -name '*.map' -o -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' \) -delete

FROM ${BUILD_IMAGE} AS init
# hadolint ignore=DL3008 -- the distribution of the base image decides the version
RUN apt-get update && apt-get install --yes --no-install-recommends tini
# The command caudal, without a shell. `kubectl exec ... -- caudal deadletters list` uses it too.
RUN printf '#!/usr/bin/env node\nimport "/app/apps/cli/src/main.ts";\n' > /caudal && chmod 755 /caudal

# Node's compile cache: a process starts in half of the time with it. Node uses it only with the same version of itself, the
# same paths and the same user, and ignores it otherwise.
FROM ${BUILD_IMAGE} AS compiled
ENV NODE_COMPILE_CACHE=/app/.compile-cache
WORKDIR /app
COPY --from=dependencies /app .
COPY . .
RUN mkdir .compile-cache && chown 1000:1000 .compile-cache
USER 1000:1000
# Node writes the files for their owner only. In the image root owns them, like everything, so others must be able to read them.
RUN node --input-type=module --eval \
      "for (const file of ['apps/cli/src/program.ts', 'apps/server/src/start.ts', \
         'packages/projections/src/stores/mongodb-store.ts', 'packages/projections/src/stores/elasticsearch-store.ts', \
         'packages/cache/src/shared.ts', 'packages/archive-store/src/s3-store.ts']) await import('/app/' + file)" \
    && chmod -R a+rX .compile-cache

FROM ${RUNTIME_IMAGE} AS runtime
ARG VERSION=0.2.0
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
# By number, so that Kubernetes can check that it is not root. This user owns nothing under /app: it only reads there.
USER 1000:1000
EXPOSE 8080 9090
# tini is process 1: it passes signals on, even before Node handles them, and reaps ended processes.
ENTRYPOINT ["tini", "--", "caudal"]
CMD ["start"]

# For skaffold dev: it replaces sources in the running container, and Node restarts when they change.
FROM runtime AS development
COPY --chown=1000:1000 packages packages
COPY --chown=1000:1000 services services
COPY --chown=1000:1000 apps apps
ENTRYPOINT ["tini", "--", "node", "--watch", "--watch-preserve-output", "apps/cli/src/main.ts"]

FROM runtime
