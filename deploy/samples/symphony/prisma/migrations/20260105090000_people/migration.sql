-- CreateEnum
CREATE TYPE "Family" AS ENUM ('STRINGS', 'WOODWINDS', 'BRASS', 'PERCUSSION', 'KEYBOARDS');

-- CreateEnum
CREATE TYPE "SeatTitle" AS ENUM ('CONCERTMASTER', 'PRINCIPAL', 'ASSISTANT_PRINCIPAL', 'SECTION');

-- CreateEnum
CREATE TYPE "Contract" AS ENUM ('TENURED', 'PROBATIONARY', 'ONE_SEASON');

-- CreateTable
CREATE TABLE "Organisation" (
    "id" INTEGER NOT NULL DEFAULT 1,
    "name" TEXT NOT NULL,
    "locale" TEXT NOT NULL,
    "region" TEXT,
    "season" TEXT NOT NULL,
    "currency" CHAR(3) NOT NULL,

    CONSTRAINT "Organisation_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "Template" (
    "code" TEXT NOT NULL,
    "locale" TEXT NOT NULL,
    "subject" TEXT NOT NULL,
    "body" TEXT NOT NULL,

    CONSTRAINT "Template_pkey" PRIMARY KEY ("code", "locale")
);

-- CreateTable
CREATE TABLE "Section" (
    "code" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "family" "Family" NOT NULL,
    "scoreOrder" INTEGER NOT NULL,
    "deskSize" INTEGER NOT NULL,

    CONSTRAINT "Section_pkey" PRIMARY KEY ("code")
);

-- CreateTable
CREATE TABLE "Member" (
    "id" SERIAL NOT NULL,
    "name" TEXT NOT NULL,
    "email" TEXT NOT NULL,
    "sectionCode" TEXT NOT NULL,
    "contract" "Contract" NOT NULL,
    "hiredOn" DATE NOT NULL,
    "tenuredOn" DATE,
    "leftOn" DATE,

    CONSTRAINT "Member_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "Seat" (
    "sectionCode" TEXT NOT NULL,
    "desk" INTEGER NOT NULL,
    "place" INTEGER NOT NULL,
    "title" "SeatTitle" NOT NULL,
    "memberId" INTEGER,

    CONSTRAINT "Seat_pkey" PRIMARY KEY ("sectionCode", "desk", "place")
);

-- CreateIndex
CREATE UNIQUE INDEX "Section_scoreOrder_key" ON "Section"("scoreOrder");

-- CreateIndex
CREATE UNIQUE INDEX "Member_email_key" ON "Member"("email");

-- CreateIndex
CREATE INDEX "Member_sectionCode_idx" ON "Member"("sectionCode");

-- CreateIndex
CREATE UNIQUE INDEX "Seat_memberId_key" ON "Seat"("memberId");

-- AddForeignKey
ALTER TABLE "Member" ADD CONSTRAINT "Member_sectionCode_fkey" FOREIGN KEY ("sectionCode") REFERENCES "Section"("code") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Seat" ADD CONSTRAINT "Seat_sectionCode_fkey" FOREIGN KEY ("sectionCode") REFERENCES "Section"("code") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Seat" ADD CONSTRAINT "Seat_memberId_fkey" FOREIGN KEY ("memberId") REFERENCES "Member"("id") ON DELETE SET NULL ON UPDATE CASCADE;

-- By hand: what Prisma's schema has no words for
ALTER TABLE "Organisation" ADD CONSTRAINT "Organisation_one_check" CHECK ("id" = 1);
ALTER TABLE "Organisation" ADD CONSTRAINT "Organisation_currency_check" CHECK ("currency" ~ '^[A-Z]{3}$');
ALTER TABLE "Section" ADD CONSTRAINT "Section_deskSize_check" CHECK ("deskSize" IN (1, 2));
ALTER TABLE "Member" ADD CONSTRAINT "Member_dates_check" CHECK ("tenuredOn" >= "hiredOn" AND "leftOn" >= "hiredOn");
ALTER TABLE "Member" ADD CONSTRAINT "Member_tenure_check" CHECK (("contract" = 'TENURED') = ("tenuredOn" IS NOT NULL));
ALTER TABLE "Seat" ADD CONSTRAINT "Seat_place_check" CHECK ("desk" >= 1 AND "place" IN (1, 2));
