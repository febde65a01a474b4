//! decode/content: being built.
