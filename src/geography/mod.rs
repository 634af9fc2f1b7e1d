//! Which of the provider's regions is nearest to a place: pure arithmetic on two tables.
//!
//! Great-circle distance is not latency. Where the way of the cables makes it misleading, [`DETOURS`] says by way of
//! which region a country is reached.

mod countries;

use std::cmp::Ordering;

use countries::COUNTRIES;

/// A place on the globe, in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// From -90 (south) to 90 (north).
    pub latitude: f64,
    /// From -180 (west) to 180 (east).
    pub longitude: f64,
}

/// A region with its distance from a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranked {
    /// The region's code, for example `eu-north-1`.
    pub region: String,
    /// Great-circle distance in kilometres; none when the position of the region is not known.
    pub kilometres: Option<u32>,
}

/// A country, as a place to be near to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Country {
    /// Its population-weighted centre, or the position of the region by way of which it is reached.
    pub point: Point,
    /// The region by way of which it is reached, where that is not the nearest one.
    pub by_way_of: Option<&'static str>,
}

/// Mean radius of the Earth in kilometres (IUGG).
const RADIUS: f64 = 6371.0;

/// The public regions of Supabase: code, latitude and longitude (the table of Supabase Studio, autumn 2026).
const REGIONS: [(&str, f64, f64); 18] = [
    ("us-east-1", 38.13, -78.45),
    ("us-east-2", 39.96, -83.0),
    ("us-west-1", 37.35, -121.96),
    ("us-west-2", 45.51, -122.67),
    ("ca-central-1", 45.5, -73.6),
    ("sa-east-1", -23.34, -46.38),
    ("eu-west-1", 53.0, -8.0),
    ("eu-west-2", 51.0, -0.1),
    ("eu-west-3", 48.86, 2.35),
    ("eu-central-1", 50.0, 8.0),
    ("eu-central-2", 47.45, 8.54),
    ("eu-north-1", 59.65, 17.91),
    ("ap-south-1", 19.08, 72.88),
    ("ap-southeast-1", 1.37, 103.8),
    ("ap-southeast-2", -33.86, 151.2),
    ("ap-northeast-1", 35.41, 139.42),
    ("ap-northeast-2", 37.56, 126.98),
    ("ap-east-1", 22.3, 114.2),
];

/// Countries that are reached by way of a region that is not the nearest one to their centre.
const DETOURS: [(&[&str], &str); 4] = [
    // The centre lies north of Lake Superior; people live along the Saint Lawrence and the Great Lakes.
    (&["CA"], "ca-central-1"),
    // The centre lies in Missouri; us-east-1 is the provider's largest region, next to the densest coast.
    (&["US"], "us-east-1"),
    // Africa south of the Sahara: its cables along both coasts end in Western Europe, and none of weight leads to
    // Mumbai or São Paulo, which are nearer on the globe.
    (
        &[
            "AO", "BF", "BI", "BJ", "BW", "CD", "CF", "CG", "CI", "CM", "CV", "DJ", "ER", "ET", "GA", "GH", "GM", "GN",
            "GQ", "GW", "KE", "KM", "LR", "LS", "MG", "ML", "MR", "MU", "MW", "MZ", "NA", "NE", "NG", "RE", "RW", "SC",
            "SD", "SH", "SL", "SN", "SO", "SS", "ST", "SZ", "TD", "TG", "TZ", "UG", "YT", "ZA", "ZM", "ZW",
        ],
        "eu-west-3",
    ),
    // The Middle East: its cables through the Red Sea and its routes by land end in Marseille and Frankfurt, and so do
    // the exchanges of its networks.
    (
        &[
            "AE", "BH", "EG", "IL", "IQ", "IR", "JO", "KW", "LB", "OM", "PS", "QA", "SA", "SY", "TR", "YE",
        ],
        "eu-central-1",
    ),
];

/// A country by its two-letter code of ISO 3166-1, in capital letters.
pub fn country(code: &str) -> Option<Country> {
    let found = COUNTRIES.binary_search_by(|(known, ..)| (*known).cmp(code)).ok()?;
    let (_, latitude, longitude) = COUNTRIES[found];
    let detour = DETOURS.iter().find(|(countries, _)| countries.contains(&code));
    let by_way_of = detour.map(|(_, region)| *region);
    Some(Country {
        point: by_way_of.and_then(region).unwrap_or(Point { latitude, longitude }),
        by_way_of,
    })
}

/// The position of a region, where it is known.
pub fn region(code: &str) -> Option<Point> {
    let found = REGIONS.iter().find(|(known, ..)| *known == code);
    found.map(|&(_, latitude, longitude)| Point { latitude, longitude })
}

/// The regions whose positions are known.
pub fn regions() -> impl Iterator<Item = &'static str> {
    REGIONS.iter().map(|(code, ..)| *code)
}

/// The regions by their distance from a place, each once. Those whose position is not known come last, in the order in
/// which they are named.
pub fn rank<'a>(from: Point, regions: impl IntoIterator<Item = &'a str>) -> Vec<Ranked> {
    let mut ranked: Vec<(f64, &str)> = Vec::new();
    for code in regions {
        if !ranked.iter().any(|(_, known)| *known == code) {
            ranked.push((region(code).map_or(f64::INFINITY, |at| distance(from, at)), code));
        }
    }
    ranked.sort_by(|(a, _), (b, _)| a.partial_cmp(b).unwrap_or(Ordering::Equal));
    let whole = |(kilometres, code): (f64, &str)| Ranked {
        region: code.to_owned(),
        kilometres: to_whole(kilometres),
    };
    ranked.into_iter().map(whole).collect()
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a distance on the globe is from 0 to 20016 km"
)]
fn to_whole(kilometres: f64) -> Option<u32> {
    kilometres.is_finite().then(|| kilometres.round() as u32)
}

/// Great-circle distance in kilometres, by the haversine formula.
fn distance(a: Point, b: Point) -> f64 {
    let latitude = (b.latitude - a.latitude).to_radians() / 2.0;
    let longitude = (b.longitude - a.longitude).to_radians() / 2.0;
    let cosines = a.latitude.to_radians().cos() * b.latitude.to_radians().cos();
    let half = (latitude.sin().powi(2) + cosines * longitude.sin().powi(2)).clamp(0.0, 1.0);
    2.0 * RADIUS * half.sqrt().asin()
}

/// A regular expression (RE2) of exactly the codes of ISO 3166-1, for validation rules.
pub fn country_pattern() -> String {
    let mut groups: Vec<(char, String)> = Vec::new();
    for (code, ..) in COUNTRIES {
        let mut letters = code.chars();
        let (Some(first), Some(second)) = (letters.next(), letters.next()) else {
            continue;
        };
        match groups.last_mut().filter(|(letter, _)| *letter == first) {
            Some((_, seconds)) => seconds.push(second),
            None => groups.push((first, second.to_string())),
        }
    }
    let groups: Vec<_> = groups
        .iter()
        .map(|(first, seconds)| format!("{first}[{seconds}]"))
        .collect();
    format!("^({})$", groups.join("|"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first region for a country.
    fn nearest<'a>(code: &str, among: impl IntoIterator<Item = &'a str>) -> String {
        let country = country(code).unwrap_or_else(|| panic!("{code} is missing"));
        rank(country.point, among)[0].region.clone()
    }

    const EUROPEAN_UNION: [&str; 4] = ["eu-central-1", "eu-west-1", "eu-west-3", "eu-north-1"];

    #[test]
    fn the_golden_table_of_countries() {
        for (codes, region) in [
            (&["SE", "NO", "DK", "FI"][..], "eu-north-1"),
            (&["DE", "NL"], "eu-central-1"),
            (&["FR", "ES"], "eu-west-3"),
            (&["IE"], "eu-west-1"),
            (&["GB"], "eu-west-2"),
            (&["CH", "IT"], "eu-central-2"),
            (&["BR"], "sa-east-1"),
            (&["JP"], "ap-northeast-1"),
            (&["AU", "NZ"], "ap-southeast-2"),
            (&["IN"], "ap-south-1"),
            (&["CA"], "ca-central-1"),
            (&["US"], "us-east-1"),
            (&["ZA", "NG", "KE"], "eu-west-3"),
            (&["AE", "SA", "IL", "TR"], "eu-central-1"),
            (&["PL"], "eu-central-1"),
            (&["SG", "ID"], "ap-southeast-1"),
            (&["KR"], "ap-northeast-2"),
            (&["HK"], "ap-east-1"),
        ] {
            for code in codes {
                assert_eq!(nearest(code, regions()), region, "{code}");
            }
        }
        for code in ["CH", "IT"] {
            assert_eq!(nearest(code, EUROPEAN_UNION), "eu-central-1", "{code} in the EU");
        }
        assert_eq!(nearest("GB", EUROPEAN_UNION), "eu-west-1");
    }

    #[test]
    fn the_whole_ranking_is_by_distance_and_names_each_region_once() {
        let stockholm = Point {
            latitude: 59.33,
            longitude: 18.07,
        };
        let named = [
            "eu-west-3",
            "xx-new-1",
            "eu-north-1",
            "eu-west-3",
            "eu-central-1",
            "xx-new-2",
        ];
        let ranked = rank(stockholm, named);
        let order: Vec<_> = ranked.iter().map(|ranked| ranked.region.as_str()).collect();
        assert_eq!(
            order,
            ["eu-north-1", "eu-central-1", "eu-west-3", "xx-new-1", "xx-new-2"]
        );
        assert_eq!(ranked[0].kilometres, Some(37));
        assert_eq!(ranked[4].kilometres, None);
        assert_eq!(rank(stockholm, []), []);
        // Distances cross the date line.
        let suva = Point {
            latitude: -18.1,
            longitude: 178.4,
        };
        assert_eq!(rank(suva, regions())[0].region, "ap-southeast-2");
        for pole in [90.0, -90.0] {
            let pole = Point {
                latitude: pole,
                longitude: 0.0,
            };
            assert_eq!(rank(pole, regions()).len(), REGIONS.len());
        }
    }

    #[test]
    fn every_code_is_there_once_and_every_place_is_on_the_globe() {
        assert!(COUNTRIES.is_sorted_by(|(a, ..), (b, ..)| a < b));
        for (code, latitude, longitude) in COUNTRIES {
            assert!(code.len() == 2 && code.chars().all(|letter| letter.is_ascii_uppercase()));
            assert!(latitude.abs() <= 90.0 && longitude.abs() <= 180.0, "{code}");
        }
        for (codes, by_way_of) in DETOURS {
            assert!(region(by_way_of).is_some());
            for code in codes {
                assert_eq!(
                    country(code).and_then(|country| country.by_way_of),
                    Some(by_way_of),
                    "{code}"
                );
            }
        }
        let mut detours: Vec<_> = DETOURS.iter().flat_map(|(codes, _)| *codes).collect();
        let count = detours.len();
        detours.sort_unstable();
        detours.dedup();
        assert_eq!(detours.len(), count, "a country has one detour");
        for unknown in ["XX", "se", "", "SWE", "UK", "EU"] {
            assert_eq!(country(unknown), None, "{unknown:?}");
        }
    }
}
