//! The evidence in other tools' formats: one file per format, streaming, redacted unless told otherwise.
