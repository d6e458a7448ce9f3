//! Memory of a board, brought by the caller.

/// Arrays of a microcontroller, or vectors of a host.
///
/// `W` holds one 16-bit word an actuator; `B` bytes of a frame. For payloads of up to `n` bytes, `incoming` and `outgoing`
/// take [`crate::max_encoded`]`(n)` bytes, `payload` takes `n`.
#[derive(Clone, Debug)]
pub struct Memory<W, B> {
    /// Codes for the next commit.
    pub staged: W,
    /// Highest codes.
    pub limits: W,
    /// The frame that comes in.
    pub incoming: B,
    /// The last reply, which is remembered.
    pub outgoing: B,
    /// The reply in the making.
    pub payload: B,
}
