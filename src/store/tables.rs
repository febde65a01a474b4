//! Parquet tables of derived rows.
use crate::model::rows::{ConnectionRow, ExchangeRow, FlagRow, FrameRow, SessionRow};
/// The rows that one segment made final.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// Connections.
    pub connections: Vec<ConnectionRow>,
    /// Exchanges.
    pub exchanges: Vec<ExchangeRow>,
    /// Frames.
    pub frames: Vec<FrameRow>,
    /// Sessions.
    pub sessions: Vec<SessionRow>,
    /// Flags.
    pub flags: Vec<FlagRow>,
}
