//! decode/http1/mod: being built.
