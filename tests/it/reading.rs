//! The reading side on captures built in code.
