INSERT INTO "Member" ("name") VALUES ('Ada'), ('Bo'), ('Cleo');
