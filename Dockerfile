# syntax=docker/dockerfile:1
FROM node:24-bookworm-slim AS build
WORKDIR /build
COPY package.json package-lock.json ./
# Nothing is built natively: packages with native code bring it ready-made, so no install script runs.
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY src ./src
COPY node ./node
COPY tracker ./tracker
RUN npm run build && npm prune --omit=dev --ignore-scripts --no-audit --no-fund

FROM node:24-bookworm-slim
RUN groupadd --system --gid 6900 dockyard \
  && useradd --system --uid 6900 --gid dockyard --home-dir /var/lib/dockyard --shell /usr/sbin/nologin dockyard \
  && install -d -o dockyard -g dockyard -m 0750 /var/lib/dockyard
WORKDIR /opt/dockyard
COPY --from=build /build/package.json ./
COPY --from=build /build/node_modules ./node_modules
COPY --from=build /build/dist ./dist
COPY LICENSE ./
RUN ln -s /opt/dockyard/dist/node/main.js /usr/local/bin/dockyard
USER dockyard
ENV NODE_ENV=production DOCKYARD_DATA=/var/lib/dockyard DOCKYARD_TRACKER_DATA=/var/lib/dockyard/tracker
VOLUME /var/lib/dockyard
# Facade, admin, swarm (control, data), tracker, its page.
EXPOSE 5000 5001 5002 5003 6969 6969/udp 6970
# Inside a container loopback is the container's own; the admin address stays there unless it is set.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:5001/livez').then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["dockyard"]
CMD ["node", "--listen", "0.0.0.0:5000"]
