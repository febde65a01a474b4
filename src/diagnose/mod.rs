//! From columns to a verdict: which causes explain the refusals, and from which load on. PURE; it must never know the
//! lab, nor where its columns came from.
