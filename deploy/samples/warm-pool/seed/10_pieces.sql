-- No variable of the tenant's is used, so the rows are there before the claim.
INSERT INTO public.piece (title, minutes) VALUES
    ('Overture', 9),
    ('Serenade for strings', 28),
    (:'setting_finale', 35);
