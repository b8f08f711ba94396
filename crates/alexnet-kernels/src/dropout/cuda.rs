//! The GPU path: the same random numbers as on the CPU, four per thread.

use alexnet_random::Purpose;
use candle_core::Result;

use super::{DropoutParams, OP};
use crate::cuda::{Address, Queue, arguments, common_real};

pub(super) fn apply(queue: &dyn Queue, x: Address, params: &DropoutParams, y: Address) -> Result<()> {
    let (real, count) = (common_real(OP, [("x", x), ("y", y)])?, x.count(OP)?);
    let (low, high) = (params.seed as u32, (params.seed >> 32) as u32);
    let (layer, step, purpose) = (params.layer, params.step, Purpose::Dropout as u32);
    // Blocks of four numbers; the first may begin before the first value.
    let (block, skipped) = ((params.first_value / 4) as u32, (params.first_value % 4) as u32);
    let blocks = ((u64::from(count) + u64::from(skipped)).div_ceil(4) as u32).max(1);
    let (threshold, factor) = (params.threshold(), params.training_factor());
    let arguments = arguments![x, y, count, threshold, factor, low, high, layer, step, purpose, block, skipped, blocks];
    queue.launch(real, "dropout", queue.grid_for(blocks), arguments)
}
