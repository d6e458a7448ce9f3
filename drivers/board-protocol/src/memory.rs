//! Memory of a board, brought by the caller.

/// Arrays of a microcontroller, or vectors of a host.
///
/// `W` holds one 16-bit word an actuator; `B` bytes of a frame. For payloads of up to `n` bytes, `incoming` and `outgoing`
/// take [`crate::max_encoded`]`(n)` bytes, `payload` takes `n`.
///
/// A request that comes again is answered from memory and not carried out twice as long as its reply is among the last
/// that `outgoing` holds, 64 at most. For a host that has `w` frames under way it takes `w` times the bytes; with those of one
/// reply, the last is remembered.
#[derive(Clone, Debug)]
pub struct Memory<W, B> {
    /// Codes for the next commit.
    pub staged: W,
    /// Highest codes.
    pub limits: W,
    /// The frame that comes in.
    pub incoming: B,
    /// The last replies, which are remembered.
    pub outgoing: B,
    /// The reply in the making.
    pub payload: B,
}
