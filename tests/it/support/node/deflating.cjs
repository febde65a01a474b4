// A WebSocket server that names a channel in each 101 and prints what clients send. Its options for permessage-deflate are
// the first argument, as JSON.
const { WebSocketServer } = require('ws');

const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: JSON.parse(process.argv[2]) });
let channels = 0;
server.on('listening', () => console.log(server.address().port));
server.on('headers', (headers) => {
  channels += 1;
  headers.push(`X-Channel-Id: channel-${String(channels).padStart(8, '0')}`);
});
server.on('connection', (socket) => {
  socket.on('message', (message) => {
    console.log(JSON.stringify(message.toString()));
    socket.send('{"ok":true}');
  });
  socket.on('error', (error) => console.log(JSON.stringify(`error: ${error.message}`)));
});
