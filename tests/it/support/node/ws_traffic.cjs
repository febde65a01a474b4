// Makes WebSocket traffic with the `ws` package and prints what passed, for the decoder to be held against.
//
// Argument: {"seed", "server": perMessageDeflate, "client": perMessageDeflate} as JSON. Output, one JSON object:
// {"chunks": [{"from", "base64"}] as a TCP relay between the two saw them, upgrade heads included,
//  "sent": {"client": [message], "server": [message]}}, a message being {"opcode", "base64"} or, for a Close, {"code"}.
'use strict';
const net = require('node:net');
const { WebSocket, WebSocketServer } = require('ws');

const plan = JSON.parse(process.argv[2]);
const chunks = [];
const sent = { client: [], server: [] };

// A small generator of our own, so that a seed gives the same traffic everywhere.
let state = plan.seed >>> 0;
function random(below) {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return Math.floor((state / 2 ** 32) * below);
}

const words = ['screen', 'recording', '{"id":', '"state":"OPEN"}', 'metadata', '€uro', 'ß', '\n', '0000000000', 'z'];
function content(kind) {
  switch (kind) {
    case 0: return '';
    case 1: return Array.from({ length: 1 + random(20) }, () => words[random(words.length)]).join(' ');
    case 2: return Array.from({ length: 2000 + random(8000) }, () => words[random(words.length)]).join(' ');
    case 3: return Buffer.from(Array.from({ length: random(40000) }, () => random(256)));
    case 4: return Buffer.alloc(random(300000), 'abc');
    default: return Buffer.from([random(256)]);
  }
}

async function talk(socket, log) {
  // The second and later rounds repeat what was said, so that context takeover has something to take over.
  const said = [];
  for (let n = 0; n < 40; n++) {
    const data = random(3) === 0 && said.length > 0 ? said[random(said.length)] : content(random(6));
    said.push(data);
    const binary = Buffer.isBuffer(data);
    const bytes = Buffer.from(data);
    log.push({ opcode: binary ? 2 : 1, base64: bytes.toString('base64') });
    const compress = random(5) !== 0;
    if (random(3) === 0) {
      const parts = 1 + random(4);
      for (let part = 0; part <= parts; part++) {
        const piece = bytes.subarray((bytes.length * part) / (parts + 1), (bytes.length * (part + 1)) / (parts + 1));
        socket.send(piece, { binary, compress, fin: part === parts });
        if (part < parts && random(2) === 0) {
          socket.ping(Buffer.from(`${n}`));
        }
      }
    } else {
      socket.send(bytes, { binary, compress });
    }
    if (random(4) === 0) {
      await new Promise((resume) => setImmediate(resume));
    }
  }
}

const server = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: plan.server });
const bothTalked = new Promise((resolve) => {
  server.on('connection', (socket) => {
    const serverTalked = talk(socket, sent.server);
    relay.client.on('open', async () => {
      await Promise.all([talk(relay.client, sent.client), serverTalked]);
      resolve();
    });
  });
});

const relay = net.createServer((near) => {
  const far = net.connect(server.address().port, '127.0.0.1');
  for (const [from, source, target] of [['client', near, far], ['server', far, near]]) {
    source.on('data', (bytes) => {
      chunks.push({ from, base64: bytes.toString('base64') });
      target.write(bytes);
    });
    source.on('end', () => target.end());
    source.on('error', fail);
  }
});

function fail(error) {
  console.error(error);
  process.exit(1);
}

server.on('listening', () => relay.listen(0, '127.0.0.1', async () => {
  relay.client = new WebSocket(`ws://127.0.0.1:${relay.address().port}/`, { perMessageDeflate: plan.client });
  relay.client.on('error', fail);
  await bothTalked;
  // Closing waits for what is queued; the other side answers with the same code.
  relay.client.close(4000, 'that was all');
  sent.client.push({ code: 4000 });
  sent.server.push({ code: 4000 });
  relay.client.on('close', () => {
    relay.close();
    server.close();
    process.stdout.write(JSON.stringify({ chunks, sent }));
  });
}));
