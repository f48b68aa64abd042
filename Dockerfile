# One image for every service; the command chooses: `node services/<service>/src/main.ts`.
# There is no build step: Node strips the types, so an image holds the sources as they are.
FROM node:24-bookworm-slim AS packages
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
COPY libs libs
COPY services services
COPY examples examples
COPY cli cli
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund && npm cache clean --force

FROM node:24-bookworm-slim
LABEL org.opencontainers.image.title="Hawser" \
      org.opencontainers.image.description="The open MQTT access layer for RocketMQ" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV NODE_ENV=production
WORKDIR /app
COPY --from=packages /app /app
COPY LICENSE ./
# for what a program keeps: a volume here is writable for the user below
RUN install -d -o 1000 -g 1000 /data
# by number, so that Kubernetes can see that it is not root; nothing in /app is writable for it
USER 1000:1000
# 1883 MQTT, 8883 MQTT over TLS, 8080 probes and metrics, 8090 REST of the csg-agent
EXPOSE 1883 8883 8080 8090
CMD ["node", "services/ingress/src/main.ts"]
