-- CreateEnum
CREATE TYPE "Ownership" AS ENUM ('ORCHESTRA', 'MEMBER', 'LOAN');

-- CreateEnum
CREATE TYPE "Acquisition" AS ENUM ('OWNED', 'RENTED');

-- CreateTable
CREATE TABLE "Instrument" (
    "id" SERIAL NOT NULL,
    "inventoryNumber" TEXT NOT NULL,
    "kind" TEXT NOT NULL,
    "maker" TEXT NOT NULL,
    "year" INTEGER,
    "ownership" "Ownership" NOT NULL,
    "lender" TEXT,
    "insuredValueMinor" BIGINT NOT NULL,
    "currency" CHAR(3) NOT NULL,
    "policyNumber" TEXT,
    "insuredUntil" DATE,

    CONSTRAINT "Instrument_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "InstrumentAssignment" (
    "id" SERIAL NOT NULL,
    "instrumentId" INTEGER NOT NULL,
    "memberId" INTEGER NOT NULL,
    "since" DATE NOT NULL,
    "until" DATE,

    CONSTRAINT "InstrumentAssignment_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "Publisher" (
    "id" SERIAL NOT NULL,
    "name" TEXT NOT NULL,
    "rentalContact" TEXT,

    CONSTRAINT "Publisher_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "Work" (
    "id" SERIAL NOT NULL,
    "composer" TEXT NOT NULL,
    "title" TEXT NOT NULL,
    "opus" TEXT,
    "minutes" INTEGER NOT NULL,
    "scoring" TEXT NOT NULL,

    CONSTRAINT "Work_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "Edition" (
    "id" SERIAL NOT NULL,
    "workId" INTEGER NOT NULL,
    "publisherId" INTEGER NOT NULL,
    "name" TEXT NOT NULL,
    "acquisition" "Acquisition" NOT NULL,
    "rentalFeeMinor" BIGINT,
    "dueBack" DATE,

    CONSTRAINT "Edition_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "Part" (
    "id" SERIAL NOT NULL,
    "editionId" INTEGER NOT NULL,
    "sectionCode" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "copies" INTEGER NOT NULL,
    "bowingsBy" INTEGER,

    CONSTRAINT "Part_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE UNIQUE INDEX "Instrument_inventoryNumber_key" ON "Instrument"("inventoryNumber");

-- CreateIndex
CREATE INDEX "InstrumentAssignment_memberId_idx" ON "InstrumentAssignment"("memberId");

-- CreateIndex
CREATE UNIQUE INDEX "Publisher_name_key" ON "Publisher"("name");

-- CreateIndex
CREATE UNIQUE INDEX "Work_composer_title_key" ON "Work"("composer", "title");

-- CreateIndex
CREATE INDEX "Edition_workId_idx" ON "Edition"("workId");

-- CreateIndex
CREATE UNIQUE INDEX "Part_editionId_name_key" ON "Part"("editionId", "name");

-- AddForeignKey
ALTER TABLE "InstrumentAssignment" ADD CONSTRAINT "InstrumentAssignment_instrumentId_fkey" FOREIGN KEY ("instrumentId") REFERENCES "Instrument"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "InstrumentAssignment" ADD CONSTRAINT "InstrumentAssignment_memberId_fkey" FOREIGN KEY ("memberId") REFERENCES "Member"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Edition" ADD CONSTRAINT "Edition_workId_fkey" FOREIGN KEY ("workId") REFERENCES "Work"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Edition" ADD CONSTRAINT "Edition_publisherId_fkey" FOREIGN KEY ("publisherId") REFERENCES "Publisher"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Part" ADD CONSTRAINT "Part_editionId_fkey" FOREIGN KEY ("editionId") REFERENCES "Edition"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Part" ADD CONSTRAINT "Part_sectionCode_fkey" FOREIGN KEY ("sectionCode") REFERENCES "Section"("code") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Part" ADD CONSTRAINT "Part_bowingsBy_fkey" FOREIGN KEY ("bowingsBy") REFERENCES "Member"("id") ON DELETE SET NULL ON UPDATE CASCADE;

-- By hand: what Prisma's schema has no words for
ALTER TABLE "Instrument" ADD CONSTRAINT "Instrument_value_check" CHECK ("insuredValueMinor" >= 0);
ALTER TABLE "Instrument" ADD CONSTRAINT "Instrument_lender_check" CHECK (("ownership" = 'LOAN') = ("lender" IS NOT NULL));
ALTER TABLE "Instrument" ADD CONSTRAINT "Instrument_insured_check" CHECK (("policyNumber" IS NULL) = ("insuredUntil" IS NULL));
ALTER TABLE "InstrumentAssignment" ADD CONSTRAINT "InstrumentAssignment_dates_check" CHECK ("until" >= "since");
CREATE UNIQUE INDEX "InstrumentAssignment_open_key" ON "InstrumentAssignment"("instrumentId") WHERE "until" IS NULL;
ALTER TABLE "Work" ADD CONSTRAINT "Work_minutes_check" CHECK ("minutes" > 0);
ALTER TABLE "Edition" ADD CONSTRAINT "Edition_rental_check" CHECK (("acquisition" = 'RENTED') = ("rentalFeeMinor" IS NOT NULL AND "dueBack" IS NOT NULL));
ALTER TABLE "Part" ADD CONSTRAINT "Part_copies_check" CHECK ("copies" > 0);
