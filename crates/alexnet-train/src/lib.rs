#![doc = include_str!("../README.md")]

mod checkpoint;
mod config;
mod data;
mod device_plan;
mod ensemble;
mod error;
mod evaluate;
mod feed;
mod metrics;
mod network;
mod observer;
mod plot;
mod pretrained;
mod recipe;
mod record;
mod schedule;
mod solver;
mod trainer;

pub use checkpoint::State;
pub use config::{DataConfig, Rule, SolverConfig, SolverException, TrainConfig, WithSchedule};
pub use data::{RunData, evaluation_images, model_pipeline, preprocess};
pub use device_plan::DevicePlan;
pub use ensemble::Ensemble;
pub use error::{Error, Result};
pub use evaluate::{Evaluation, Images, evaluate, probabilities};
pub use feed::Feed;
pub use metrics::{Metrics, top_k};
pub use network::{read_network, write_network};
pub use observer::{Observer, Observers};
pub use pretrained::{LastLayer, Pretrained};
pub use record::{EpochRecord, RunDir, RunLog, StepRecord};
pub use schedule::{Plateau, Progress, Schedule};
pub use solver::{Rates, Solver};
pub use trainer::{Event, GradientHook, Outcome, Trainer};
