//! decode/opaque: being built.
