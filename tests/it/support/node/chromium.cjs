// Chromium, headless, through a proxy: opens a page of an API, posts to it and talks over a socket. Prints what its own
// Network domain saw of each request, as one JSON array.
// node chromium.cjs PROXY ORIGIN PROFILE_FOLDER
'use strict';
const { spawn } = require('node:child_process');
const { createInterface } = require('node:readline');
const WebSocket = require('ws');

const [proxy, origin, profile] = process.argv.slice(2);
const flags = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage'];
const browser = spawn('chromium', [...flags, `--user-data-dir=${profile}`, '--remote-debugging-port=0',
  `--proxy-server=http://${proxy}`, '--proxy-bypass-list=<-loopback>', '--ignore-certificate-errors', 'about:blank'],
  { stdio: ['ignore', 'ignore', 'pipe'] });
process.on('exit', () => browser.kill('SIGKILL'));
// It must not outlive a test that waits for it.
setTimeout(() => { console.error('chromium does not answer'); process.exit(1); }, 120000).unref();

const inPage = `(async () => {
  const answer = await fetch('/api/v2/recordings/screen?a=1', { method: 'POST',
    headers: { 'Content-Type': 'application/json', 'X-Mine': 'one' }, body: JSON.stringify({ sessionId: 'none', text: '\\u00fc' }) });
  await answer.text();
  await new Promise((done) => {
    const socket = new WebSocket(location.origin.replace('https:', 'wss:') + '/channels/one');
    socket.onopen = () => socket.send('{"hello":"\\u00fc"}');
    socket.onmessage = () => socket.close(1000, 'done');
    socket.onclose = done;
  });
})()`;

async function main() {
  const address = await new Promise((found) => {
    createInterface({ input: browser.stderr }).on('line', (line) => {
      const match = /DevTools listening on (ws:\S+)/.exec(line);
      if (match) found(match[1]);
    });
  });
  const socket = new WebSocket(address);
  await new Promise((open) => socket.once('open', open));
  let next = 1;
  const waiting = new Map();
  const seen = new Map();
  let loaded;
  const isLoaded = new Promise((done) => { loaded = done; });
  const of = (id) => { if (!seen.has(id)) seen.set(id, { id, messages: [] }); return seen.get(id); };
  const on = {
    'Network.requestWillBeSent': (p) => Object.assign(of(p.requestId), { request: p.request, wallTime: p.wallTime, began: p.timestamp }),
    'Network.requestWillBeSentExtraInfo': (p) => { of(p.requestId).requestHeaders = p.headers; },
    'Network.responseReceived': (p) => { of(p.requestId).response = p.response; },
    'Network.responseReceivedExtraInfo': (p) => { of(p.requestId).responseHeaders = p.headers; },
    'Network.loadingFinished': (p) => Object.assign(of(p.requestId), { finished: p.timestamp, encoded: p.encodedDataLength }),
    'Network.webSocketCreated': (p) => { of(p.requestId).socket = p.url; },
    'Network.webSocketWillSendHandshakeRequest': (p) => { of(p.requestId).requestHeaders = p.request.headers; },
    'Network.webSocketHandshakeResponseReceived': (p) => Object.assign(of(p.requestId), { response: p.response, responseHeaders: p.response.headers }),
    'Network.webSocketFrameSent': (p) => of(p.requestId).messages.push(['send', p.response.opcode, p.response.payloadData]),
    'Network.webSocketFrameReceived': (p) => of(p.requestId).messages.push(['receive', p.response.opcode, p.response.payloadData]),
    'Page.loadEventFired': () => loaded(),
  };
  socket.on('message', (text) => {
    const message = JSON.parse(text);
    if (message.id) {
      waiting.get(message.id)(message);
    } else if (on[message.method]) {
      on[message.method](message.params);
    }
  });
  const call = (method, params, sessionId) => new Promise((done, failed) => {
    const id = next++;
    waiting.set(id, (answer) => (answer.error ? failed(new Error(`${method}: ${answer.error.message}`)) : done(answer.result)));
    socket.send(JSON.stringify({ id, method, params, sessionId }));
  });
  const { targetId } = await call('Target.createTarget', { url: 'about:blank' });
  const { sessionId } = await call('Target.attachToTarget', { targetId, flatten: true });
  await call('Network.enable', {}, sessionId);
  await call('Page.enable', {}, sessionId);
  await call('Page.navigate', { url: `${origin}/api/v2/scripts/page` }, sessionId);
  await isLoaded;
  const ran = await call('Runtime.evaluate', { expression: inPage, awaitPromise: true }, sessionId);
  if (ran.exceptionDetails) throw new Error(JSON.stringify(ran.exceptionDetails));
  for (const entry of seen.values()) {
    if (entry.finished) entry.body = (await call('Network.getResponseBody', { requestId: entry.id }, sessionId)).body;
  }
  await new Promise((written) => process.stdout.write(JSON.stringify([...seen.values()]), written));
  await call('Browser.close', {});
  process.exit(0);
}
main().catch((error) => { console.error(error); process.exit(1); });
