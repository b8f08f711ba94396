//! `plot.svg`: loss and accuracy over the epochs.

use std::path::{Path, PathBuf};

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::error::{Error, Result};
use crate::observer::Observer;
use crate::record;
use crate::results::EpochRecord;
use crate::trainer::Event;

const SIZE: (u32, u32) = (960, 400);
const TRAIN: RGBColor = RGBColor(0x1f, 0x77, 0xb4);
const VAL: RGBColor = RGBColor(0xd6, 0x27, 0x28);
const VAL_TOP5: RGBColor = RGBColor(0x2c, 0xa0, 0x2c);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Points = Vec<(f64, f64)>;

/// Redraws the plot after each epoch.
pub(crate) struct Plot {
    pub(crate) path: PathBuf,
    pub(crate) title: String,
}

impl Observer for Plot {
    fn on_event(&self, event: &Event<'_>) -> Result<()> {
        match event {
            Event::Epoch { epochs, .. } => write(&self.path, &self.title, epochs),
            _ => Ok(()),
        }
    }
}

/// Writes the plot atomically.
fn write(path: &Path, title: &str, epochs: &[EpochRecord]) -> Result<()> {
    let mut svg = String::new();
    draw(&mut svg, title, epochs).map_err(|e| Error::Plot { path: path.into(), reason: e.to_string() })?;
    record::write(path, &svg)
}

fn draw(svg: &mut String, title: &str, epochs: &[EpochRecord]) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let (left, right) = root.titled(title, ("sans-serif", 18))?.split_horizontally(SIZE.0 / 2);
    let points = |value: fn(&EpochRecord) -> f64| -> Points {
        epochs.iter().map(|e| (f64::from(e.epoch), value(e))).filter(|point| point.1.is_finite()).collect()
    };
    let losses = [("training", TRAIN, points(|e| e.train_loss)), ("validation", VAL, points(|e| e.val_loss))];
    let highest = losses.iter().flat_map(|(_, _, points)| points).map(|point| point.1).fold(0.0, f64::max);
    chart(&left, "loss", epochs.len(), highest.max(1e-3) * 1.05, &losses)?;
    let accuracies = [
        ("training top-1", TRAIN, points(|e| e.train_top1 * 100.0)),
        ("validation top-1", VAL, points(|e| e.val_top1 * 100.0)),
        ("validation top-5", VAL_TOP5, points(|e| e.val_top5 * 100.0)),
    ];
    chart(&right, "accuracy, %", epochs.len(), 100.0, &accuracies)?;
    root.present()?;
    Ok(())
}

fn chart(
    area: &Area<'_>,
    what: &str,
    epochs: usize,
    highest: f64,
    curves: &[(&str, RGBColor, Points)],
) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let mut chart = ChartBuilder::on(area)
        .margin(10)
        .x_label_area_size(32)
        .y_label_area_size(48)
        .build_cartesian_2d(0.0..epochs.max(1) as f64, 0.0..highest)?;
    chart.configure_mesh().x_desc("epoch").y_desc(what).light_line_style(WHITE.mix(0.0)).x_labels(8).draw()?;
    for (name, color, points) in curves {
        let (color, points) = (*color, points.clone());
        chart.draw_series(points.iter().map(|&point| Circle::new(point, 2, color.filled())))?;
        let line = chart.draw_series(LineSeries::new(points, color.stroke_width(2)))?;
        line.label(*name).legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color.stroke_width(2)));
    }
    chart.configure_series_labels().background_style(WHITE.mix(0.8)).border_style(BLACK.mix(0.3)).draw()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plots_show_every_curve_even_with_no_or_odd_epochs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plot.svg");
        let epoch = |epoch, loss| EpochRecord {
            epoch,
            step: 10,
            learning_rate: 0.01,
            train_loss: loss,
            train_top1: 0.5,
            val_loss: 1.0,
            val_top1: 0.25,
            val_top5: 0.75,
            images_per_second: 1.0,
            data_wait: 0.0,
            seconds: 1.0,
        };
        for epochs in [vec![], vec![epoch(1, 2.0)], vec![epoch(1, 2.0), epoch(2, f64::NAN), epoch(3, 1.0)]] {
            write(&path, "alexnet on shapes", &epochs).unwrap();
            let svg = std::fs::read_to_string(&path).unwrap();
            for part in ["<svg", "</svg>", "alexnet on shapes", "validation top-5", "accuracy, %"] {
                assert!(svg.contains(part), "{part} is not in the plot of {} epochs", epochs.len());
            }
        }
    }
}
