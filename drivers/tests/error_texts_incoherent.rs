//! What the person at the bench reads when a driver refuses or fails.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use alora_drivers::{BackendError, BackendErrorKind, Operation, ProcessorId};

#[test]
fn every_error_is_a_sentence_with_found_and_expected() {
    let texts = [
        BackendErrorKind::FrameLength { expected: 512, found: 256 },
        BackendErrorKind::OverLimit { actuator: 7, code: 300, limit: 255 },
        BackendErrorKind::InputWidth { expected: 16, found: 15 },
        BackendErrorKind::InputCode { frame: 3, input: 4, code: 256, lowest: 0, highest: 255 },
        BackendErrorKind::NoRepeats,
        BackendErrorKind::OutputsUnknown,
        BackendErrorKind::Timeout(Duration::from_millis(250)),
        BackendErrorKind::Disconnected,
    ]
    .map(|kind| kind.to_string())
    .join("\n");
    insta::assert_snapshot!(texts, @r"
    the frame has 256 codes, the processor has 512 actuators; nothing was applied
    actuator 7: code 300 is above its limit of 255; nothing was applied and nothing was clipped
    each input vector has 15 codes, the processor takes 16; nothing was sent
    input vector 3, input 4: code 256 is outside 0..=255; nothing was sent
    0 repeats were asked for; ask for at least 1
    the actuators are in an unknown state since an interrupted write; apply a frame or park first
    no answer within 250ms; check power and cable
    the link is gone; check power and cable, then connect again. The outputs cannot be zeroed from here
    ");
}

#[test]
fn the_outer_error_says_where_and_leaves_why_to_its_source() {
    let error = BackendError {
        processor: ProcessorId("mock-1".to_owned()),
        operation: Operation::ReadBack,
        kind: BackendErrorKind::Disconnected,
    };
    insta::assert_snapshot!(error, @"mock-1: read-back failed");
    let source = std::error::Error::source(&error).unwrap();
    assert_eq!(source.to_string(), BackendErrorKind::Disconnected.to_string());
}
