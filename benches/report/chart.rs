//! One chart as SVG: lines over two axes, the legend above them.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::axis::Axis;
use crate::support::Fallible;

/// Dark enough to be read on white.
const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
const GRID: RGBColor = RGBColor(0xdd, 0xdd, 0xdd);

/// The size of letters, as plotters counts it: 1.24 times that of the picture.
const LETTERS: i32 = 15;
const FONT: &str = "system-ui, sans-serif";

const ROW: i32 = 18;

/// Room for numbers beside the vertical axis.
pub const LEFT: u32 = 62;

/// What is drawn in one colour, with one name.
#[derive(Debug, Clone)]
pub struct Series {
    pub name: String,
    pub colour: RGBColor,
    /// Dashed and hollow.
    pub by_hand: bool,
    pub dots: bool,
    pub points: Vec<(f64, f64)>,
}

/// What is drawn.
#[derive(Debug)]
pub struct Chart {
    pub size: (u32, u32),
    /// Room for the labels of the vertical axis.
    pub left: u32,
    pub x: Axis,
    pub y: Axis,
    pub series: Vec<Series>,
}

impl Chart {
    pub fn svg(&self) -> Fallible<String> {
        let mut svg = String::new();
        self.draw(SVGBackend::with_string(&mut svg, self.size))?;
        Ok(svg)
    }

    fn draw(&self, backend: SVGBackend<'_>) -> Fallible<()> {
        let root = backend.into_drawing_area();
        root.fill(&WHITE)?;
        let (legend, plot) = root.split_vertically(self.legend_height());
        self.draw_legend(&legend)?;
        let letters = (FONT, LETTERS).into_font().color(&INK);
        let mut chart = ChartBuilder::on(&plot)
            .margin_right(18)
            .margin_top(4)
            .x_label_area_size(46)
            .y_label_area_size(self.left)
            .build_cartesian_2d(self.x.clone(), self.y.clone())?;
        chart
            .configure_mesh()
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .axis_style(INK)
            .label_style(letters.clone())
            .axis_desc_style(letters)
            .x_desc(&self.x.title)
            .y_desc(&self.y.title)
            .draw()?;
        for series in &self.series {
            let points = series.points.iter().copied();
            let points = points.filter(|(x, y)| x.is_finite() && y.is_finite());
            let style = series.colour.stroke_width(2);
            if series.by_hand {
                chart.draw_series(DashedLineSeries::new(points.clone(), 5, 4, style))?;
            } else {
                chart.draw_series(LineSeries::new(points.clone(), style))?;
            }
            if series.dots {
                chart.draw_series(points.flat_map(|at| series.dot(at)))?;
            }
        }
        root.present()?;
        Ok(())
    }

    fn legend_rows(&self) -> usize {
        if self.series.iter().any(|series| series.by_hand) { 2 } else { 1 }
    }

    fn legend_height(&self) -> i32 {
        if self.named().next().is_none() { 4 } else { 8 + ROW * self.legend_rows() as i32 }
    }

    fn named(&self) -> impl Iterator<Item = &Series> {
        self.series.iter().filter(|series| !series.name.is_empty())
    }

    /// Ours above, by hand beneath, where there are both.
    fn draw_legend(
        &self,
        area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    ) -> Fallible<()> {
        let rows = self.legend_rows();
        let columns = self.named().count().div_ceil(rows).max(1);
        let width = (self.size.0 as usize - 24) / columns;
        let text = (FONT, LETTERS).into_font().color(&INK).pos(Pos::new(HPos::Left, VPos::Center));
        for (at, series) in self.named().enumerate() {
            let (x, y) = ((12 + at / rows * width) as i32, 12 + (at % rows) as i32 * ROW);
            let style = series.colour.stroke_width(2);
            let ends = [(x, y), (x + 24, y)];
            if series.by_hand {
                for from in [x, x + 9, x + 18] {
                    area.draw(&PathElement::new([(from, y), (from + 6, y)], style))?;
                }
            } else {
                area.draw(&PathElement::new(ends, style))?;
            }
            for dot in series.dot((x + 12, y)).iter().filter(|_| series.dots) {
                area.draw(dot)?;
            }
            area.draw(&Text::new(series.name.clone(), (x + 30, y), text.clone()))?;
        }
        Ok(())
    }
}

impl Series {
    /// Filled, or a ring.
    fn dot<C>(&self, at: C) -> [Circle<C, i32>; 2]
    where
        C: Clone,
    {
        let inside = if self.by_hand { WHITE } else { self.colour };
        [
            Circle::new(at.clone(), 4, inside.filled()),
            Circle::new(at, 4, self.colour.stroke_width(2)),
        ]
    }
}
