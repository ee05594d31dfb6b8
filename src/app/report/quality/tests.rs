use super::*;

#[test]
fn every_point_is_drawn_and_every_system_named() {
    let point = |latency_ms, auc| Point { name: "n".to_owned(), latency_ms, auc, deviation: 0.001 };
    let curve = |label: &str, points| Curve { label: label.to_owned(), role: Role::Own, points };
    let curves = [
        curve("autofas", vec![point(4.0, 0.74), point(1.0, 0.73)]),
        curve("plain-dnn", vec![point(20.0, 0.735)]),
    ];
    let picture = svg("AUC", &curves).unwrap();
    // Each once, with a spot that says what it is, and once in the legend.
    assert_eq!(picture.matches("<circle").count(), 2 * (2 + 1) + 2, "{picture}");
    assert_eq!(picture.matches("<title>n: AUC 0.7400, 4.000 ms</title>").count(), 1);
    assert!(picture.contains("autofas") && picture.contains("plain-dnn"), "{picture}");
    // From 0.729 to 0.741 there is a line every 0.002.
    for tick in ["0.73", "0.732", "0.738", "0.74"] {
        assert!(picture.lines().any(|line| line.trim() == tick), "{tick}: {picture}");
    }
    assert!(svg("AUC", &[]).unwrap().contains("<svg"));
}

#[test]
fn steps_of_the_axis_have_names_of_their_own() {
    for (low, high) in [(0.73, 0.7305), (0.73, 0.735), (0.6, 0.75), (0.5, 1.0)] {
        let Scale { ticks, name, .. } = auc_scale(ends_of_auc([low, high].into_iter()));
        let names: Vec<String> = ticks.iter().map(|&tick| name(tick)).collect();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
        let read = |name: &String| name.parse::<f64>().unwrap();
        assert!(
            names.iter().map(read).zip(&ticks).all(|(read, tick)| (read - tick).abs() < 1e-9),
            "{names:?}"
        );
    }
}

/// A system among many.
fn of_field(label: &str, points: &[(f64, f64)]) -> Curve {
    let point = |&(latency_ms, auc): &(f64, f64)| Point {
        name: format!("{label} at {latency_ms}"),
        latency_ms,
        auc,
        deviation: 0.0002,
    };
    Curve { label: label.to_owned(), role: Role::Field, points: points.iter().map(point).collect() }
}

/// Eight points between 0.745 and 0.747, and one at 0.7228.
fn many() -> [Curve; 4] {
    let own = of_field("autofas", &[(0.3, 0.7458), (0.9, 0.7463)]);
    [
        Curve { role: Role::Own, ..own },
        of_field("rd", &[(0.2, 0.7455), (0.5, 0.7457), (1.0, 0.7461)]),
        of_field("taylor", &[(0.31, 0.7452), (0.32, 0.7228), (0.95, 0.7462)]),
        of_field("rd-all", &[(4.0, 0.7467)]),
    ]
}

#[test]
fn an_outlier_stands_on_the_border_and_leaves_the_rest_its_room() {
    let all = many();
    let names: Vec<&str> = below(&all).iter().map(|point| point.name.as_str()).collect();
    assert_eq!(names, ["taylor at 0.32"]);
    let (low, high) = range_of_auc(&all);
    assert!(low > 0.744 && high < 0.748, "{low} to {high}");
    let picture = svg("AUC", &all).unwrap();
    assert!(picture.contains("<title>taylor at 0.32: AUC 0.7228, 0.320 ms</title>"), "{picture}");
    assert!(picture.contains("below the axis"));
    // Of few points none is an outlier, nor of points that differ by their noise alone.
    assert!(below(&[of_field("a", &[(1.0, 0.6), (2.0, 0.75)])]).is_empty());
    let alike: Vec<(f64, f64)> = (1..=9).map(|i| (f64::from(i), 0.75 - 0.0001 * f64::from(i % 2))).collect();
    assert!(below(&[of_field("a", &alike)]).is_empty());
}

#[test]
fn many_systems_are_grey_but_for_the_own_one_and_those_that_none_beats() {
    let picture = svg("AUC", &many()).unwrap();
    let dots = |ink: Ink| {
        let colour = format!("fill=\"#{:02X}{:02X}{:02X}\"", ink.0.0, ink.0.1, ink.0.2);
        let all = picture.lines().filter(|line| line.starts_with("<circle") || line.starts_with("<polygon"));
        all.filter(|line| line.contains(&colour)).count()
    };
    // Each once, and one in the legend; of the field, rd at 0.2 ms and rd-all are beaten by none.
    assert_eq!([INKS[0], BEST, QUIET].map(dots), [2 + 1, 2 + 1, 5 + 2], "{picture}");
    for name in ["autofas", "rd", "taylor", "rd-all"] {
        assert!(picture.lines().any(|line| line.trim() == name), "{name} stands beside a dot: {picture}");
    }
}

#[test]
fn the_front_is_the_best_so_far() {
    let steps = front(&[of_field("a", &[(10.0, 0.75), (1.0, 0.74), (3.0, 0.73)])], 2.0);
    assert_eq!(steps, [(0.0, 0.74), (1.0, 0.74), (1.0, 0.75), (2.0, 0.75)]);
    assert!(front(&[], 2.0).is_empty());
}
