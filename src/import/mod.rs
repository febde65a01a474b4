//! What others recorded of the same run: JMeter's JTL, read and joined with the wire.
