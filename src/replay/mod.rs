//! Captured sessions again: what is sent when (`plan`, PURE), the sending, and capture against capture.
