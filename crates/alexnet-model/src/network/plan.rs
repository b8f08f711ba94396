//! The layers that a pass runs.

use super::Network;

/// The outputs of a pass and the layers it runs.
#[derive(Debug)]
pub(super) struct Plan {
    /// The layers whose results are returned.
    pub(super) outputs: Vec<usize>,
    /// Whether each layer is needed for the outputs.
    pub(super) runs: Vec<bool>,
    /// The last layer that runs and reads each layer's result.
    pub(super) last_reader: Vec<usize>,
}

impl Network {
    /// A plan with only the layers that `outputs` need.
    pub(super) fn plan(&self, outputs: Vec<usize>) -> Plan {
        let layers = self.spec.layers().len();
        let (mut runs, mut last_reader) = (vec![false; layers], (0..layers).collect::<Vec<_>>());
        outputs.iter().for_each(|&output| runs[output] = true);
        for layer in (0..layers).rev() {
            if runs[layer] {
                for &input in self.spec.inputs(layer) {
                    runs[input] = true;
                    last_reader[input] = last_reader[input].max(layer);
                }
            }
        }
        Plan { outputs, runs, last_reader }
    }

    /// The plan for the main output only.
    pub(super) fn main_plan(&self) -> Plan {
        self.plan(vec![self.spec.layers().len() - 1])
    }

    /// The plan for all outputs.
    pub(super) fn whole_plan(&self) -> Plan {
        self.plan(self.spec.outputs().iter().map(|output| output.layer).collect())
    }
}
