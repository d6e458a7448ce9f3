//! The board protocol: framed, checked, numbered commands between a host and an FPGA or microcontroller board.
#![no_std]
