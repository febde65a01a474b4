// A client as people write them: reads, creates a channel, opens its socket with `ws`, sends a message, sends metadata.
// Prints one JSON object. Arguments: port, PEM of the root, host.
'use strict';
const https = require('https');
const fs = require('fs');
const WebSocket = require('ws');

const [port, pem, host] = process.argv.slice(2);
const ca = fs.readFileSync(pem);
const agent = new https.Agent({ keepAlive: true });
const authorization = 'Bearer t1';

function ask(method, path, body) {
  return new Promise((resolve, reject) => {
    const headers = { Authorization: authorization, Host: host };
    if (body) Object.assign(headers, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) });
    const request = https.request(
      { host: '127.0.0.1', servername: host, port, method, path, headers, ca, agent },
      (response) => {
        let text = '';
        response.on('data', (chunk) => (text += chunk));
        response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, text }));
      },
    );
    request.on('error', reject);
    request.end(body);
  });
}

async function main() {
  const script = await ask('GET', '/api/v2/scripts/5c0a11ab-0000-4000-8000-000000000001');
  const unknown = await ask('GET', '/nowhere');
  const channel = JSON.parse((await ask('POST', '/api/v2/notifications/channels', '{}')).text);
  const socket = new WebSocket(`wss://127.0.0.1:${port}/channels/${channel.id}?sessionId=s-1`, {
    ca,
    servername: host,
    headers: { Host: host, Authorization: authorization },
  });
  const answers = [];
  await new Promise((resolve, reject) => {
    socket.on('error', reject);
    socket.on('open', () => socket.send('{"message":"ping"}'));
    socket.on('message', (data) => {
      answers.push(data.toString());
      resolve();
    });
  });
  const early = await ask('POST', '/api/v2/recordings/screen', '{"sessionId":"s-1"}');
  const closed = new Promise((resolve) => socket.on('close', (code) => resolve(code)));
  socket.close(1000);
  const code = await closed;
  agent.destroy();
  console.log(JSON.stringify({ script, unknown, channel, answers, early, code }));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
