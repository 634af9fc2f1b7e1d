-- CreateEnum
CREATE TYPE "PayKind" AS ENUM ('BASE', 'SEAT', 'DOUBLING', 'OVERTIME', 'SUBSTITUTE');

-- CreateTable
CREATE TABLE "Agreement" (
    "id" SERIAL NOT NULL,
    "name" TEXT NOT NULL,
    "validFrom" DATE NOT NULL,
    "validUntil" DATE NOT NULL,
    "currency" CHAR(3) NOT NULL,
    "weeklyBaseMinor" BIGINT NOT NULL,
    "servicesPerWeek" INTEGER NOT NULL,
    "overtimeUnitMinutes" INTEGER NOT NULL,
    "overtimePercent" INTEGER NOT NULL,
    "substitutePercent" INTEGER NOT NULL,

    CONSTRAINT "Agreement_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "SeatScale" (
    "agreementId" INTEGER NOT NULL,
    "title" "SeatTitle" NOT NULL,
    "percent" INTEGER NOT NULL,

    CONSTRAINT "SeatScale_pkey" PRIMARY KEY ("agreementId", "title")
);

-- CreateTable
CREATE TABLE "DoublingScale" (
    "agreementId" INTEGER NOT NULL,
    "nth" INTEGER NOT NULL,
    "percent" INTEGER NOT NULL,

    CONSTRAINT "DoublingScale_pkey" PRIMARY KEY ("agreementId", "nth")
);

-- CreateTable
CREATE TABLE "Double" (
    "serviceId" INTEGER NOT NULL,
    "memberId" INTEGER NOT NULL,
    "instrument" TEXT NOT NULL,
    "nth" INTEGER NOT NULL DEFAULT 1,

    CONSTRAINT "Double_pkey" PRIMARY KEY ("serviceId", "memberId", "instrument")
);

-- CreateTable
CREATE TABLE "Overtime" (
    "serviceId" INTEGER NOT NULL,
    "minutes" INTEGER NOT NULL,

    CONSTRAINT "Overtime_pkey" PRIMARY KEY ("serviceId")
);

-- CreateTable
CREATE TABLE "PayItem" (
    "id" SERIAL NOT NULL,
    "kind" "PayKind" NOT NULL,
    "memberId" INTEGER,
    "substituteId" INTEGER,
    "serviceId" INTEGER,
    "weekOf" DATE NOT NULL,
    "amountMinor" BIGINT NOT NULL,
    "currency" CHAR(3) NOT NULL,

    CONSTRAINT "PayItem_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE UNIQUE INDEX "Agreement_name_key" ON "Agreement"("name");

-- CreateIndex
CREATE INDEX "PayItem_memberId_idx" ON "PayItem"("memberId");

-- CreateIndex
CREATE INDEX "PayItem_substituteId_idx" ON "PayItem"("substituteId");

-- CreateIndex
CREATE INDEX "PayItem_weekOf_idx" ON "PayItem"("weekOf");

-- AddForeignKey
ALTER TABLE "SeatScale" ADD CONSTRAINT "SeatScale_agreementId_fkey" FOREIGN KEY ("agreementId") REFERENCES "Agreement"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "DoublingScale" ADD CONSTRAINT "DoublingScale_agreementId_fkey" FOREIGN KEY ("agreementId") REFERENCES "Agreement"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Double" ADD CONSTRAINT "Double_serviceId_fkey" FOREIGN KEY ("serviceId") REFERENCES "Service"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Double" ADD CONSTRAINT "Double_memberId_fkey" FOREIGN KEY ("memberId") REFERENCES "Member"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Overtime" ADD CONSTRAINT "Overtime_serviceId_fkey" FOREIGN KEY ("serviceId") REFERENCES "Service"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "PayItem" ADD CONSTRAINT "PayItem_memberId_fkey" FOREIGN KEY ("memberId") REFERENCES "Member"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "PayItem" ADD CONSTRAINT "PayItem_substituteId_fkey" FOREIGN KEY ("substituteId") REFERENCES "Substitute"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "PayItem" ADD CONSTRAINT "PayItem_serviceId_fkey" FOREIGN KEY ("serviceId") REFERENCES "Service"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- By hand: what Prisma's schema has no words for
ALTER TABLE "Agreement" ADD CONSTRAINT "Agreement_dates_check" CHECK ("validUntil" > "validFrom");
ALTER TABLE "Agreement" ADD CONSTRAINT "Agreement_scale_check" CHECK ("weeklyBaseMinor" > 0 AND "servicesPerWeek" > 0 AND "overtimeUnitMinutes" > 0 AND "overtimePercent" >= 100);
ALTER TABLE "SeatScale" ADD CONSTRAINT "SeatScale_percent_check" CHECK ("percent" >= 100);
ALTER TABLE "Overtime" ADD CONSTRAINT "Overtime_minutes_check" CHECK ("minutes" > 0);
ALTER TABLE "PayItem" ADD CONSTRAINT "PayItem_payee_check" CHECK (("memberId" IS NULL) <> ("substituteId" IS NULL));
ALTER TABLE "PayItem" ADD CONSTRAINT "PayItem_week_check" CHECK (extract(isodow FROM "weekOf") = 1);
