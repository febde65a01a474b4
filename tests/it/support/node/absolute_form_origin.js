// A `ws` server with its `path` option over HTTPS: argv = certificate, key. Prints its port.
const fs = require('node:fs');
const https = require('node:https');
const { WebSocketServer } = require('ws');

const [certificate, key] = process.argv.slice(2);
const server = https.createServer({ cert: fs.readFileSync(certificate), key: fs.readFileSync(key) });
new WebSocketServer({ server, path: '/ws/chat' }).on('connection', (socket) => {
  socket.on('message', (data, binary) => socket.send(data, { binary }));
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
