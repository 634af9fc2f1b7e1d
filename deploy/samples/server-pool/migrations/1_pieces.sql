CREATE TABLE piece (id serial PRIMARY KEY, title text NOT NULL, composer text);
