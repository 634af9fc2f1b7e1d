-- The week of the season opening, computed from the agreement: base and seat for whoever is employed,
-- overtime in begun units for whoever was there, the substitute's part of a service for substitutes.
CREATE TEMPORARY TABLE week ON COMMIT DROP AS
SELECT a.*, DATE '2026-09-14' AS monday, a."weeklyBaseMinor" / a."servicesPerWeek" AS "serviceMinor"
FROM "Agreement" a WHERE DATE '2026-09-14' BETWEEN a."validFrom" AND a."validUntil";

INSERT INTO "PayItem" ("kind", "memberId", "weekOf", "amountMinor", "currency")
SELECT 'BASE', m."id", w.monday, w."weeklyBaseMinor", w."currency" FROM "Member" m CROSS JOIN week w WHERE m."leftOn" IS NULL;

INSERT INTO "PayItem" ("kind", "memberId", "weekOf", "amountMinor", "currency")
SELECT 'SEAT', s."memberId", w.monday, w."weeklyBaseMinor" * (c."percent" - 100) / 100, w."currency"
FROM "Seat" s CROSS JOIN week w JOIN "SeatScale" c ON c."agreementId" = w."id" AND c."title" = s."title"
WHERE s."memberId" IS NOT NULL AND c."percent" > 100;

INSERT INTO "PayItem" ("kind", "memberId", "serviceId", "weekOf", "amountMinor", "currency")
SELECT 'OVERTIME', t."memberId", o."serviceId", w.monday,
       ceil(o."minutes"::numeric / w."overtimeUnitMinutes") * w."overtimeUnitMinutes" * w."serviceMinor" * w."overtimePercent" / 100 / 150,
       w."currency"
FROM "Overtime" o CROSS JOIN week w JOIN "Attendance" t ON t."serviceId" = o."serviceId" AND t."presence" IN ('PRESENT', 'LATE');

INSERT INTO "PayItem" ("kind", "substituteId", "serviceId", "weekOf", "amountMinor", "currency")
SELECT 'SUBSTITUTE', c."substituteId", c."serviceId", w.monday, w."serviceMinor" * w."substitutePercent" / 100, w."currency"
FROM "SubstituteCall" c CROSS JOIN week w WHERE c."state" = 'ACCEPTED';
