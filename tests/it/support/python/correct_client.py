"""Correct traffic of requests and websockets: argv is the proxy's address and the file of roots."""

import asyncio
import gzip
import ssl
import sys

import requests
import websockets

PROXY, ROOTS = "http://" + sys.argv[1], sys.argv[2]
URL = "https://api.test"

session = requests.Session()
session.trust_env = False
session.proxies, session.verify = {"https": PROXY}, ROOTS
session.get(URL + "/items", params={"filter[]": [1, 2], "json": '{"a":1}', "pipe": "a|b"})
session.head(URL + "/items")
session.options(URL + "/items", headers={"Origin": "https://a.test", "Access-Control-Request-Method": "POST"})
session.post(URL + "/items", json={"name": "é", "template": "Hello {{name}}"})
session.post(URL + "/form", data={"a": "b c", "json": '{"a":1}'})
session.post(URL + "/files", files={"file": ("n.bin", b"x" * 70_000)})
session.put(URL + "/chunks", data=iter([b"a" * 10, b"b" * 20]), headers={"Content-Type": "text/plain"})
zipped = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
session.post(URL + "/zipped", data=gzip.compress(b'{"a":1}'), headers=zipped)
session.get(URL + "/range", headers={"Range": "bytes=5-", "If-None-Match": '"v1"'})
session.get(URL + "/items", stream=True).close()


async def sockets():
    roots = ssl.create_default_context(cafile=ROOTS)
    async with websockets.connect("wss://api.test/channels/one", proxy=PROXY, ssl=roots) as socket:
        await socket.send('"text"')
        await socket.recv()
        # Binary messages, whole and in parts, that look like text with something wrong in it.
        await socket.send("\ufffdÃ©".encode())
        await socket.send([b'{"a":"$', b'{x}"}'])
        await (await socket.ping())


asyncio.run(sockets())
