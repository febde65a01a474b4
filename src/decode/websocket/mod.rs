//! decode/websocket/mod: being built.
