//! burn's compute devices.

use burn::tensor::Device;

use super::{ComputeDevice, FinetuneError};

/// The device that `asked` names, ready to differentiate.
///
/// # Errors
/// A device that was not compiled in.
pub fn compute_device(asked: ComputeDevice) -> Result<Device, FinetuneError> {
    match asked {
        ComputeDevice::Flex => Ok(Device::flex().autodiff()),
        #[cfg(feature = "ndarray-device")]
        #[allow(deprecated, reason = "burn 0.22 deprecates burn-ndarray and still ships it")]
        ComputeDevice::Ndarray => Ok(Device::ndarray().autodiff()),
        #[cfg(not(feature = "ndarray-device"))]
        ComputeDevice::Ndarray => Err(FinetuneError::Device),
    }
}
