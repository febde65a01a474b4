//! relay_verbatim
