//! Where people live, by country: the officially assigned two-letter codes of ISO 3166-1 with the
//! population-weighted centre of each country.
//!
//! Source: the places of `GeoNames` with at least 500 inhabitants (<https://www.geonames.org>, licence CC BY 4.0), read in
//! November 2026; the centre is the mean of their positions on the globe, weighted by their inhabitants and rounded to a
//! tenth of a degree. Where nobody lives, the position of a station or of the islands.

/// Code, latitude and longitude in degrees; sorted by the code.
pub(super) const COUNTRIES: [(&str, f64, f64); 249] = [
    ("AD", 42.5, 1.5),     // Andorra
    ("AE", 25.0, 55.2),    // United Arab Emirates
    ("AF", 34.6, 67.9),    // Afghanistan
    ("AG", 17.1, -61.8),   // Antigua and Barbuda
    ("AI", 18.2, -63.1),   // Anguilla
    ("AL", 41.1, 19.9),    // Albania
    ("AM", 40.3, 44.6),    // Armenia
    ("AO", -9.9, 14.3),    // Angola
    ("AQ", -77.8, 166.7),  // Antarctica (McMurdo Station)
    ("AR", -32.8, -61.4),  // Argentina
    ("AS", -14.3, -170.7), // American Samoa
    ("AT", 47.8, 15.0),    // Austria
    ("AU", -33.6, 144.8),  // Australia
    ("AW", 12.5, -70.0),   // Aruba
    ("AX", 60.2, 20.0),    // Aland Islands
    ("AZ", 40.4, 48.8),    // Azerbaijan
    ("BA", 44.2, 17.9),    // Bosnia and Herzegovina
    ("BB", 13.1, -59.6),   // Barbados
    ("BD", 23.6, 90.4),    // Bangladesh
    ("BE", 50.8, 4.4),     // Belgium
    ("BF", 12.2, -2.1),    // Burkina Faso
    ("BG", 42.7, 25.0),    // Bulgaria
    ("BH", 26.2, 50.6),    // Bahrain
    ("BI", -3.4, 29.5),    // Burundi
    ("BJ", 7.7, 2.3),      // Benin
    ("BL", 17.9, -62.8),   // Saint Barthelemy
    ("BM", 32.3, -64.8),   // Bermuda
    ("BN", 4.8, 114.8),    // Brunei
    ("BO", -17.4, -65.7),  // Bolivia
    ("BQ", 13.2, -67.3),   // Bonaire, Saint Eustatius and Saba
    ("BR", -17.5, -45.8),  // Brazil
    ("BS", 25.4, -77.6),   // Bahamas
    ("BT", 27.3, 90.0),    // Bhutan
    ("BV", -54.4, 3.4),    // Bouvet Island (uninhabited)
    ("BW", -23.3, 25.9),   // Botswana
    ("BY", 53.6, 27.8),    // Belarus
    ("BZ", 17.4, -88.5),   // Belize
    ("CA", 48.7, -88.5),   // Canada
    ("CC", -12.2, 96.8),   // Cocos Islands
    ("CD", -4.7, 20.2),    // Democratic Republic of the Congo
    ("CF", 5.0, 18.4),     // Central African Republic
    ("CG", -3.9, 14.2),    // Republic of the Congo
    ("CH", 47.1, 8.1),     // Switzerland
    ("CI", 6.6, -5.2),     // Ivory Coast
    ("CK", -21.2, -159.8), // Cook Islands
    ("CL", -33.8, -71.2),  // Chile
    ("CM", 5.4, 11.2),     // Cameroon
    ("CN", 32.2, 114.3),   // China
    ("CO", 5.9, -74.9),    // Colombia
    ("CR", 10.0, -84.2),   // Costa Rica
    ("CU", 22.2, -80.3),   // Cuba
    ("CV", 15.7, -23.9),   // Cabo Verde
    ("CW", 12.1, -68.9),   // Curacao
    ("CX", -10.4, 105.7),  // Christmas Island
    ("CY", 35.0, 33.3),    // Cyprus
    ("CZ", 49.8, 15.5),    // Czechia
    ("DE", 51.1, 9.8),     // Germany
    ("DJ", 11.6, 43.1),    // Djibouti
    ("DK", 55.8, 11.2),    // Denmark
    ("DM", 15.4, -61.4),   // Dominica
    ("DO", 18.8, -70.1),   // Dominican Republic
    ("DZ", 35.6, 3.5),     // Algeria
    ("EC", -1.4, -79.3),   // Ecuador
    ("EE", 59.2, 25.3),    // Estonia
    ("EG", 29.8, 31.2),    // Egypt
    ("EH", 25.8, -14.1),   // Western Sahara
    ("ER", 15.2, 38.9),    // Eritrea
    ("ES", 39.8, -3.1),    // Spain
    ("ET", 9.3, 39.0),     // Ethiopia
    ("FI", 61.4, 24.8),    // Finland
    ("FJ", -17.8, 178.2),  // Fiji
    ("FK", -51.7, -57.9),  // Falkland Islands
    ("FM", 7.1, 154.3),    // Micronesia
    ("FO", 62.0, -6.8),    // Faroe Islands
    ("FR", 47.1, 2.8),     // France
    ("GA", -0.2, 10.4),    // Gabon
    ("GB", 52.6, -1.4),    // United Kingdom
    ("GD", 12.1, -61.7),   // Grenada
    ("GE", 41.9, 43.7),    // Georgia
    ("GF", 5.0, -52.9),    // French Guiana
    ("GG", 49.5, -2.5),    // Guernsey
    ("GH", 6.4, -1.0),     // Ghana
    ("GI", 36.1, -5.4),    // Gibraltar
    ("GL", 65.8, -50.7),   // Greenland
    ("GM", 13.4, -16.3),   // Gambia
    ("GN", 9.8, -12.8),    // Guinea
    ("GP", 16.2, -61.5),   // Guadeloupe
    ("GQ", 2.5, 9.5),      // Equatorial Guinea
    ("GR", 38.7, 23.3),    // Greece
    ("GS", -54.3, -36.5),  // South Georgia and the South Sandwich Islands
    ("GT", 14.8, -90.7),   // Guatemala
    ("GU", 13.5, 144.8),   // Guam
    ("GW", 11.9, -15.5),   // Guinea-Bissau
    ("GY", 6.6, -58.1),    // Guyana
    ("HK", 22.3, 114.2),   // Hong Kong
    ("HM", -53.1, 73.5),   // Heard and McDonald Islands (uninhabited)
    ("HN", 14.9, -87.5),   // Honduras
    ("HR", 45.2, 16.3),    // Croatia
    ("HT", 18.8, -72.5),   // Haiti
    ("HU", 47.4, 19.3),    // Hungary
    ("ID", -4.8, 109.6),   // Indonesia
    ("IE", 53.1, -7.0),    // Ireland
    ("IL", 32.1, 35.0),    // Israel
    ("IM", 54.2, -4.5),    // Isle of Man
    ("IN", 21.0, 78.4),    // India
    ("IO", -7.3, 72.4),    // British Indian Ocean Territory
    ("IQ", 33.7, 44.8),    // Iraq
    ("IR", 34.4, 51.6),    // Iran
    ("IS", 64.3, -21.4),   // Iceland
    ("IT", 43.0, 12.0),    // Italy
    ("JE", 49.2, -2.1),    // Jersey
    ("JM", 18.1, -77.0),   // Jamaica
    ("JO", 32.0, 36.0),    // Jordan
    ("JP", 35.6, 137.2),   // Japan
    ("KE", -0.9, 36.8),    // Kenya
    ("KG", 41.9, 73.9),    // Kyrgyzstan
    ("KH", 11.8, 104.7),   // Cambodia
    ("KI", 1.3, 174.9),    // Kiribati
    ("KM", -12.0, 43.9),   // Comoros
    ("KN", 17.3, -62.7),   // Saint Kitts and Nevis
    ("KP", 39.5, 126.5),   // North Korea
    ("KR", 36.6, 127.5),   // South Korea
    ("KW", 29.2, 48.1),    // Kuwait
    ("KY", 19.3, -81.2),   // Cayman Islands
    ("KZ", 47.6, 70.1),    // Kazakhstan
    ("LA", 18.0, 103.3),   // Laos
    ("LB", 33.9, 35.5),    // Lebanon
    ("LC", 13.9, -61.0),   // Saint Lucia
    ("LI", 47.2, 9.5),     // Liechtenstein
    ("LK", 7.3, 80.3),     // Sri Lanka
    ("LR", 6.4, -10.4),    // Liberia
    ("LS", -29.4, 27.7),   // Lesotho
    ("LT", 55.1, 24.2),    // Lithuania
    ("LU", 49.6, 6.1),     // Luxembourg
    ("LV", 56.9, 24.2),    // Latvia
    ("LY", 31.9, 15.5),    // Libya
    ("MA", 33.4, -6.7),    // Morocco
    ("MC", 43.7, 7.4),     // Monaco
    ("MD", 47.1, 28.8),    // Moldova
    ("ME", 42.5, 19.2),    // Montenegro
    ("MF", 18.1, -63.1),   // Saint Martin
    ("MG", -18.9, 47.5),   // Madagascar
    ("MH", 7.5, 170.4),    // Marshall Islands
    ("MK", 41.8, 21.5),    // North Macedonia
    ("ML", 13.0, -7.1),    // Mali
    ("MM", 18.7, 96.2),    // Myanmar
    ("MN", 48.0, 105.4),   // Mongolia
    ("MO", 22.2, 113.5),   // Macao
    ("MP", 15.2, 145.7),   // Northern Mariana Islands
    ("MQ", 14.6, -61.0),   // Martinique
    ("MR", 17.8, -14.2),   // Mauritania
    ("MS", 16.8, -62.2),   // Montserrat
    ("MT", 35.9, 14.5),    // Malta
    ("MU", -20.2, 57.6),   // Mauritius
    ("MV", 3.6, 73.4),     // Maldives
    ("MW", -14.3, 34.4),   // Malawi
    ("MX", 21.3, -100.2),  // Mexico
    ("MY", 3.5, 103.3),    // Malaysia
    ("MZ", -20.0, 35.4),   // Mozambique
    ("NA", -21.5, 17.1),   // Namibia
    ("NC", -22.0, 166.3),  // New Caledonia
    ("NE", 14.1, 5.1),     // Niger
    ("NF", -29.1, 168.0),  // Norfolk Island
    ("NG", 7.9, 6.0),      // Nigeria
    ("NI", 12.4, -86.1),   // Nicaragua
    ("NL", 52.1, 5.3),     // The Netherlands
    ("NO", 60.8, 9.6),     // Norway
    ("NP", 27.7, 84.7),    // Nepal
    ("NR", -0.5, 166.9),   // Nauru
    ("NU", -19.1, -169.9), // Niue
    ("NZ", -39.4, 174.4),  // New Zealand
    ("OM", 23.3, 57.7),    // Oman
    ("PA", 8.8, -80.1),    // Panama
    ("PE", -11.1, -76.4),  // Peru
    ("PF", -17.5, -149.5), // French Polynesia
    ("PG", -7.3, 147.2),   // Papua New Guinea
    ("PH", 12.3, 122.4),   // Philippines
    ("PK", 30.3, 71.4),    // Pakistan
    ("PL", 51.7, 19.2),    // Poland
    ("PM", 46.8, -56.2),   // Saint Pierre and Miquelon
    ("PN", -25.1, -130.1), // Pitcairn
    ("PR", 18.3, -66.3),   // Puerto Rico
    ("PS", 31.8, 34.9),    // Palestinian Territory
    ("PT", 39.5, -9.3),    // Portugal
    ("PW", 7.3, 134.5),    // Palau
    ("PY", -25.3, -57.1),  // Paraguay
    ("QA", 25.3, 51.5),    // Qatar
    ("RE", -21.1, 55.5),   // Reunion
    ("RO", 45.6, 25.3),    // Romania
    ("RS", 44.6, 20.5),    // Serbia
    ("RU", 56.8, 51.6),    // Russia
    ("RW", -2.0, 29.8),    // Rwanda
    ("SA", 23.8, 43.0),    // Saudi Arabia
    ("SB", -9.3, 159.8),   // Solomon Islands
    ("SC", -4.6, 55.5),    // Seychelles
    ("SD", 14.7, 31.7),    // Sudan
    ("SE", 58.9, 15.7),    // Sweden
    ("SG", 1.3, 103.8),    // Singapore
    ("SH", -17.7, -11.3),  // Saint Helena
    ("SI", 46.2, 14.8),    // Slovenia
    ("SJ", 78.2, 15.4),    // Svalbard and Jan Mayen
    ("SK", 48.6, 18.8),    // Slovakia
    ("SL", 8.3, -12.3),    // Sierra Leone
    ("SM", 43.9, 12.5),    // San Marino
    ("SN", 14.7, -16.6),   // Senegal
    ("SO", 5.0, 45.0),     // Somalia
    ("SR", 5.8, -55.2),    // Suriname
    ("SS", 6.6, 29.9),     // South Sudan
    ("ST", 0.3, 6.7),      // Sao Tome and Principe
    ("SV", 13.7, -89.1),   // El Salvador
    ("SX", 18.0, -63.1),   // Sint Maarten
    ("SY", 35.1, 37.2),    // Syria
    ("SZ", -26.5, 31.3),   // Eswatini
    ("TC", 21.8, -72.1),   // Turks and Caicos Islands
    ("TD", 11.6, 16.6),    // Chad
    ("TF", -49.3, 70.2),   // French Southern Territories
    ("TG", 6.8, 1.2),      // Togo
    ("TH", 13.7, 100.7),   // Thailand
    ("TJ", 39.1, 69.4),    // Tajikistan
    ("TK", -8.9, -172.1),  // Tokelau
    ("TL", -8.7, 125.6),   // Timor Leste
    ("TM", 38.8, 59.4),    // Turkmenistan
    ("TN", 35.8, 10.2),    // Tunisia
    ("TO", -20.8, -175.0), // Tonga
    ("TR", 39.5, 32.3),    // Turkey
    ("TT", 10.5, -61.4),   // Trinidad and Tobago
    ("TV", -8.3, 179.0),   // Tuvalu
    ("TW", 24.4, 121.1),   // Taiwan
    ("TZ", -5.9, 36.1),    // Tanzania
    ("UA", 48.9, 32.4),    // Ukraine
    ("UG", 0.6, 32.2),     // Uganda
    ("UM", 19.3, 166.6),   // U.S. Outlying Islands (Wake Island)
    ("US", 39.0, -92.7),   // United States
    ("UY", -34.0, -56.3),  // Uruguay
    ("UZ", 40.7, 68.4),    // Uzbekistan
    ("VA", 41.9, 12.5),    // Vatican
    ("VC", 13.2, -61.2),   // Saint Vincent and the Grenadines
    ("VE", 9.8, -67.8),    // Venezuela
    ("VG", 18.4, -64.6),   // British Virgin Islands
    ("VI", 18.0, -64.8),   // U.S. Virgin Islands
    ("VN", 15.2, 106.5),   // Vietnam
    ("VU", -17.0, 168.0),  // Vanuatu
    ("WF", -13.4, -176.5), // Wallis and Futuna
    ("WS", -13.8, -171.9), // Samoa
    ("YE", 14.4, 44.7),    // Yemen
    ("YT", -12.8, 45.2),   // Mayotte
    ("ZA", -28.4, 27.0),   // South Africa
    ("ZM", -13.9, 28.4),   // Zambia
    ("ZW", -18.6, 30.5),   // Zimbabwe
];
