"""A Starlette WebSocket application under uvicorn: argv = certificate, key, http implementation. Prints its port."""
import socket
import sys

import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute


async def chat(websocket):
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text)


certificate, key, implementation = sys.argv[1:4]
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
config = uvicorn.Config(
    Starlette(routes=[WebSocketRoute("/ws/chat", chat)]),
    http=implementation,
    ws="websockets-sansio",
    ssl_certfile=certificate,
    ssl_keyfile=key,
    log_level="error",
)
uvicorn.Server(config).run(sockets=[listener])
