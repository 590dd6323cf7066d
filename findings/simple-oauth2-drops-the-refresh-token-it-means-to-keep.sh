#!/usr/bin/env bash
# simple-oauth2 5.1.0 (npm): a refresh response without a refresh token leaves the one that was redeemed valid (RFC 6749, section 6). The
# library has a line that means to keep it, and keeps `undefined`: it reads the property from the wrong object. The refresh succeeds, and the next
# one sends an empty refresh token.
#
# Answers are made by a server on this machine. Exits with 0 as long as it behaves so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund simple-oauth2@5.1.0 >/dev/null
cat >try.js <<'JS'
const http = require('node:http');
const { AuthorizationCode } = require('simple-oauth2');
const { version } = require('simple-oauth2/package.json');

const sent = [];
const server = http.createServer((request, response) => {
  let body = '';
  request.on('data', (part) => { body += part; });
  request.on('end', () => {
    sent.push(new URLSearchParams(body).get('refresh_token'));
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ access_token: `at-${sent.length + 1}`, token_type: 'Bearer', expires_in: 3600 }));
  });
});

server.listen(0, '127.0.0.1', async () => {
  const auth = { tokenHost: `http://127.0.0.1:${server.address().port}` };
  const client = new AuthorizationCode({ client: { id: 'web', secret: 'secret' }, auth });
  const first = client.createToken({ access_token: 'at-1', token_type: 'Bearer', refresh_token: 'rt-1', expires_in: 3600 });
  const second = await first.refresh();
  await second.refresh();
  server.close();
  console.log(`simple-oauth2 ${version}, node ${process.version}`);
  console.log(`before the refresh: refresh_token = ${JSON.stringify(first.token.refresh_token)}`);
  console.log(`after it:           refresh_token = ${JSON.stringify(second.token.refresh_token)}`);
  console.log(`sent to the server: ${JSON.stringify(sent)}`);
  process.exit(second.token.refresh_token === undefined && sent[0] === 'rt-1' && !sent[1] ? 0 : 1);
});
JS
node try.js
