//! Prices of fetching from measured fetches.
//!
//! With one worker the time y of a fetch of the features S is
//!
//! ```text
//! y = Σ_{g: g∩S≠∅} trip_g + Σ_{i∈S} own_i
//! own_i = s_g · bytes_i + δ_i
//! ```
//!
//! and the fit minimises Σ ((y − ŷ) / 0.05·y)² plus the prior (δ_i / 0.3·own)²: a measurement is uncertain by a twentieth of itself, and
//! features of one row differ by their bytes until measurements say otherwise. Nothing gets below 0. More workers stand in each other's way: β and γ of equation (4) are what each
//! selected feature costs more with them than with one, by least squares over the same sets of features.

use super::{
    Displaced, Displacement, FetchBucket, FetchFit, FetchObservation, GroupPrice, GroupShape, OwnPrice,
    displaced::within_ms,
};
use crate::{
    base::{Error, Result},
    data::schema::{Schema, Source},
    price::{
        feature::{FeaturePrices, FetchGroup, Fetching},
        least_squares::LeastSquares,
    },
};

/// Standard deviation of a measurement as a share of itself. With much more, the priors hold against any number of measurements: a trip that
/// costs ten features would be drawn towards the price of one.
const RELATIVE_ERROR: f64 = 0.05;
/// Prior deviation of a feature's own price from that of its bytes, as a share of the mean feature's.
const OWN_DEVIATION: f64 = 0.3;
/// No clock tells less.
const LEAST_MS: f64 = 1e-6;

/// Fetches that prices are fitted to.
#[derive(Debug, Clone, Default)]
pub struct Fetches {
    /// Right after another request's.
    pub near: Vec<FetchObservation>,
    /// With caches that something else has taken, by one worker.
    pub displaced: Vec<FetchObservation>,
    /// Behind networks.
    pub networks: Vec<Displacement>,
}

impl FetchBucket {
    /// Fits prices to fetches of rows of these shapes; `schema` names the features.
    ///
    /// Fails when a source has features and no observation of one worker to price them by.
    pub fn fit(schema: &Schema, groups: &[GroupShape], candidates: usize, fetches: Fetches) -> Result<Self> {
        let Fetches { near: observations, displaced, networks } = fetches;
        let features = schema.features.len();
        let mut prices = alone(groups, &observations)?;
        prices.beta_ms = crowding(Source::Matching, &prices, &observations, features);
        prices.gamma_ms = crowding(Source::Store, &prices, &observations, features);
        let far = alone(groups, &displaced)?;
        Ok(Self {
            candidates,
            groups: named(schema, groups, &prices),
            displaced: Displaced {
                groups: named(schema, groups, &far),
                fit: judge(&far, &displaced, features),
                within_ms: within_ms(&networks),
                networks,
                observations: displaced,
            },
            beta_ms: prices.beta_ms,
            gamma_ms: prices.gamma_ms,
            fit: judge(&prices, &observations, features),
            observations,
        })
    }
}

/// Prices of all rows for one worker.
fn alone(groups: &[GroupShape], observations: &[FetchObservation]) -> Result<FeaturePrices> {
    let mut prices =
        FeaturePrices { groups: Vec::new(), fetching: Fetching::InTurn, beta_ms: 0.0, gamma_ms: 0.0 };
    for source in [Source::Matching, Source::Store] {
        let own: Vec<&GroupShape> = groups.iter().filter(|group| group.source == source).collect();
        prices.groups.extend(fit_source(source, &own, observations)?);
    }
    Ok(prices)
}

/// The same with the names of rows and features.
fn named(schema: &Schema, groups: &[GroupShape], prices: &FeaturePrices) -> Vec<GroupPrice> {
    let own = |(&(position, own_ms), &(_, bytes)): (&(usize, f64), &(usize, usize))| OwnPrice {
        feature: schema.features[position].name.clone(),
        bytes,
        own_ms,
    };
    let group = |(price, shape): (&FetchGroup, &GroupShape)| GroupPrice {
        name: shape.name.clone(),
        source: shape.source,
        trip_ms: price.trip_ms,
        features: price.features.iter().zip(&shape.features).map(own).collect(),
    };
    prices.groups.iter().zip(in_order(groups)).map(group).collect()
}

/// The shapes in the order in which they are priced: what comes with the request first.
fn in_order(groups: &[GroupShape]) -> impl Iterator<Item = &GroupShape> {
    let of = |source| groups.iter().filter(move |group| group.source == source);
    of(Source::Matching).chain(of(Source::Store))
}

/// Trips and own prices of one source's rows, from what one worker needed for them.
fn fit_source(
    source: Source,
    groups: &[&GroupShape],
    observations: &[FetchObservation],
) -> Result<Vec<FetchGroup>> {
    let timed: Vec<&FetchObservation> = (observations.iter())
        .filter(|o| o.workers == 1 && !o.held_out)
        .filter(|o| groups.iter().any(|group| group.chosen(&o.features).next().is_some()))
        .collect();
    if groups.is_empty() {
        return Ok(Vec::new());
    }
    if timed.is_empty() {
        return Err(Error::usage(
            format!("no fetch of one worker says what features of the source {source:?} cost"),
            "measure more sets of features",
        ));
    }
    let total_ms: f64 = timed.iter().map(|observation| observation.ms(source)).sum();
    let mean_ms = total_ms / timed.len() as f64;
    // Times below a hundredth of the mean are no more certain than that, and none at all may be nothing.
    let certain = |ms: f64| ms.max(0.01 * mean_ms).max(LEAST_MS);
    let places = Places::of(groups);
    let mut squares = LeastSquares::of(places.unknowns);
    let mut fetched = 0;
    for observation in &timed {
        let (row, features) = places.row(groups, observation);
        let ms = observation.ms(source);
        squares.add(&row, ms, RELATIVE_ERROR * certain(ms));
        fetched += features;
    }
    places.add_priors(&mut squares, groups, certain(total_ms / fetched.max(1) as f64));
    let x = squares.least_above(&vec![0.0; places.unknowns]).ok_or_else(|| {
        Error::usage("the prices of fetching have no solution", "look for measured times near zero")
    })?;
    let price = |(at, group): (usize, &&GroupShape)| FetchGroup {
        source,
        trip_ms: x[places.trip(at)],
        features: (group.features.iter().enumerate())
            .map(|(feature, &(position, _))| (position, x[places.own(at, feature)]))
            .collect(),
    };
    Ok(groups.iter().enumerate().map(price).collect())
}

/// Where the unknowns of a source stand: per group its trip and its slope, and after all of them the prices of the features.
struct Places {
    /// Of the first feature of each group.
    starts: Vec<usize>,
    unknowns: usize,
}

impl Places {
    fn of(groups: &[&GroupShape]) -> Self {
        let mut unknowns = 2 * groups.len();
        let start = |group: &&GroupShape| {
            let start = unknowns;
            unknowns += group.features.len();
            start
        };
        let starts = groups.iter().map(start).collect();
        Self { starts, unknowns }
    }

    fn trip(&self, group: usize) -> usize {
        2 * group
    }

    fn slope(&self, group: usize) -> usize {
        2 * group + 1
    }

    fn own(&self, group: usize, feature: usize) -> usize {
        self.starts[group] + feature
    }

    /// What an observation's time is the sum of, and how many features are in it.
    fn row(&self, groups: &[&GroupShape], observation: &FetchObservation) -> (Vec<(usize, f64)>, usize) {
        let (mut row, mut features) = (Vec::new(), 0);
        for (at, group) in groups.iter().enumerate() {
            let chosen: Vec<usize> = group.chosen(&observation.features).collect();
            if !chosen.is_empty() {
                row.push((self.trip(at), 1.0));
            }
            row.extend(chosen.iter().map(|&feature| (self.own(at, feature), 1.0)));
            features += chosen.len();
        }
        (row, features)
    }

    /// A feature costs what its bytes do, and `typical_ms` is what holds where no measurement does.
    fn add_priors(&self, squares: &mut LeastSquares, groups: &[&GroupShape], typical_ms: f64) {
        for (at, group) in groups.iter().enumerate() {
            for (feature, &(_, bytes)) in group.features.iter().enumerate() {
                let by_bytes = [(self.own(at, feature), 1.0), (self.slope(at), -(bytes as f64))];
                squares.add(&by_bytes, 0.0, OWN_DEVIATION * typical_ms);
            }
            // Nothing else holds the trip and the slope of a row that was never fetched alone or never at all.
            squares.add(&[(self.trip(at), 1.0)], typical_ms, 10.0 * typical_ms);
            squares.add(&[(self.slope(at), 1.0)], 0.0, 10.0 * typical_ms);
        }
    }
}

impl GroupShape {
    /// Places of those of its features that are among `selected`.
    fn chosen<'a>(&'a self, selected: &'a [usize]) -> impl Iterator<Item = usize> + 'a {
        let places = self.features.iter().enumerate();
        places.filter(|(_, (position, _))| selected.binary_search(position).is_ok()).map(|(place, _)| place)
    }
}

/// What a selected feature of a source costs more with several workers than with one: the least-squares slope of
/// y − ŷ over the number of features, through the origin, and never below 0.
fn crowding(
    source: Source,
    prices: &FeaturePrices,
    observations: &[FetchObservation],
    features: usize,
) -> f64 {
    let (mut above, mut squares) = (0.0, 0.0);
    for observation in observations.iter().filter(|o| o.workers > 1 && !o.held_out) {
        let theta = selection(&observation.features, features);
        let of_source = |group: &&FetchGroup| group.source == source;
        let members = prices.groups.iter().filter(of_source).flat_map(|group| &group.features);
        let count: f64 = members.map(|&(feature, _)| theta[feature]).sum();
        let alone = FeaturePrices { beta_ms: 0.0, gamma_ms: 0.0, ..prices.clone() };
        above += count * (observation.ms(source) - alone.of_source(source, &theta).ms);
        squares += count * count;
    }
    if squares > 0.0 { f64::max(above / squares, 0.0) } else { 0.0 }
}

fn selection(chosen: &[usize], features: usize) -> Vec<f64> {
    let mut theta = vec![0.0; features];
    chosen.iter().for_each(|&feature| theta[feature] = 1.0);
    theta
}

fn judge(prices: &FeaturePrices, observations: &[FetchObservation], features: usize) -> FetchFit {
    let alone = FeaturePrices { beta_ms: 0.0, gamma_ms: 0.0, ..prices.clone() };
    let residual_pct = |observation: &FetchObservation| {
        let priced = if observation.workers == 1 { &alone } else { prices };
        let measured = observation.fetch_ms + observation.decode_ms;
        let predicted = priced.expected(&selection(&observation.features, features)).ms;
        100.0 * (predicted - measured).abs() / measured.max(LEAST_MS)
    };
    let mape = |held_out: bool| {
        let residuals: Vec<f64> =
            observations.iter().filter(|o| o.held_out == held_out).map(residual_pct).collect();
        (residuals.len(), residuals.iter().sum::<f64>() / residuals.len().max(1) as f64)
    };
    let ((fitted, fitted_mape_pct), (held_out, held_out_mape_pct)) = (mape(false), mape(true));
    FetchFit { fitted, fitted_mape_pct, held_out, held_out_mape_pct }
}
