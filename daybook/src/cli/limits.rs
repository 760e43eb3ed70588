//! Limits of an account on the command line.

use ledger_core::asset::Asset;
use schemas::proto::v1::*;

use crate::client::failure::Failure;
use crate::client::money::{self, Written};

/// Limits as options; an empty text takes a limit away.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitsArgs {
    /// The least that must stay available; below zero is an overdraft. '' takes it away.
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true)]
    pub minimum: Option<String>,
    /// The most that posted and pending in may come to.
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true)]
    pub maximum: Option<String>,
    /// The most that one transaction may move.
    #[arg(long, value_name = "AMOUNT")]
    pub per_transaction: Option<String>,
    /// 'out 500.00 USD per day', 'in 10000 USD per month', 'out 50 USD per 3600s'.
    #[arg(long, value_name = "LIMIT")]
    pub velocity: Vec<String>,
}

impl LimitsArgs {
    /// True where any is given.
    pub fn any(&self) -> bool {
        self.minimum.is_some()
            || self.maximum.is_some()
            || self.per_transaction.is_some()
            || !self.velocity.is_empty()
    }

    /// As the API takes them.
    ///
    /// # Errors
    /// One cannot be read.
    pub fn limits(&self, asset: &Asset) -> Result<Limits, Failure> {
        let signed = |text: &Option<String>| match text.as_deref() {
            None | Some("") => Ok(String::new()),
            Some(text) => Written::parse(text)?.signed_minor(asset),
        };
        Ok(Limits {
            minimum: signed(&self.minimum)?,
            maximum: signed(&self.maximum)?,
            per_transaction: signed(&self.per_transaction)?,
            velocity: self
                .velocity
                .iter()
                .filter(|text| !text.is_empty())
                .map(|text| velocity(text, asset))
                .collect::<Result<_, _>>()?,
        })
    }

    /// The paths of those that are given, for a field mask.
    pub fn mask(&self) -> Vec<String> {
        [
            (self.minimum.is_some(), "limits.minimum"),
            (self.maximum.is_some(), "limits.maximum"),
            (self.per_transaction.is_some(), "limits.per_transaction"),
            (!self.velocity.is_empty(), "limits.velocity"),
        ]
        .into_iter()
        .filter(|(given, _)| *given)
        .map(|(_, path)| path.to_owned())
        .collect()
    }
}

fn velocity(text: &str, asset: &Asset) -> Result<VelocityLimit, Failure> {
    use velocity_limit::{Direction, Window};
    let form = || {
        Failure::usage(format!("{text:?} is not a velocity limit")).hint(
            "write 'out 500.00 USD per day', 'in 10000 USD per month', 'out 50 USD per 3600s'",
        )
    };
    let (direction, rest) = text.split_once(' ').ok_or_else(form)?;
    let (amount, window) = rest.split_once(" per ").ok_or_else(form)?;
    let direction = match direction {
        "out" => Direction::Outflow,
        "in" => Direction::Inflow,
        _ => return Err(form()),
    };
    let window = match window.trim() {
        "day" => Window::CalendarDay(true),
        "month" => Window::CalendarMonth(true),
        span => {
            let span = crate::client::moment::duration(span).map_err(|_| form())?;
            Window::RollingSeconds(u32::try_from(span.as_secs()).map_err(|_| form())?)
        }
    };
    Ok(VelocityLimit {
        direction: direction.into(),
        amount: Written::parse(amount)?.minor(asset)?.to_string(),
        window: Some(window),
    })
}

/// Limits as they are shown.
pub fn shown(limits: Option<&Limits>, asset: &str) -> Vec<(&'static str, String)> {
    let Some(limits) = limits else {
        return Vec::new();
    };
    let amount = |minor: &str| match minor.is_empty() {
        true => String::new(),
        false => money::human(minor, asset),
    };
    let mut shown = vec![
        ("minimum", amount(&limits.minimum)),
        ("maximum", amount(&limits.maximum)),
        ("per transaction", amount(&limits.per_transaction)),
    ];
    for limit in &limits.velocity {
        use velocity_limit::{Direction, Window};
        let direction = match limit.direction() {
            Direction::Inflow => "in",
            _ => "out",
        };
        let window = match limit.window {
            Some(Window::CalendarMonth(_)) => "month".to_owned(),
            Some(Window::RollingSeconds(seconds)) => format!("{seconds}s"),
            _ => "day".to_owned(),
        };
        shown.push((
            "velocity",
            format!("{direction} {} per {window}", amount(&limit.amount)),
        ));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_and_shown_alike() {
        let args = LimitsArgs {
            minimum: Some("-300.00".into()),
            velocity: vec!["out 500.00 USD per day".into(), "in 5 USD per 3600s".into()],
            ..Default::default()
        };
        let asset = Asset::parse("USD/2").unwrap();
        let limits = args.limits(&asset).unwrap();
        assert_eq!(limits.minimum, "-30000");
        let texts: Vec<_> = shown(Some(&limits), "USD/2")
            .into_iter()
            .map(|(_, text)| text)
            .filter(|text| !text.is_empty())
            .collect();
        assert_eq!(
            texts,
            [
                "-300.00 USD",
                "out 500.00 USD per day",
                "in 5.00 USD per 3600s"
            ]
        );
        assert_eq!(args.mask(), ["limits.minimum", "limits.velocity"]);
        assert!(velocity("500 USD daily", &asset).is_err());
    }
}
