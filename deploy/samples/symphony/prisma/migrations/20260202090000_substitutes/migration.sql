-- CreateEnum
CREATE TYPE "CallState" AS ENUM ('OFFERED', 'ACCEPTED', 'DECLINED', 'WITHDRAWN');

-- CreateTable
CREATE TABLE "Substitute" (
    "id" SERIAL NOT NULL,
    "name" TEXT NOT NULL,
    "email" TEXT NOT NULL,
    "phone" TEXT NOT NULL,
    "sectionCode" TEXT NOT NULL,
    "rank" INTEGER NOT NULL,
    "auditionedOn" DATE NOT NULL,
    "unionLocal" TEXT,

    CONSTRAINT "Substitute_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "SubstituteAbsence" (
    "id" SERIAL NOT NULL,
    "substituteId" INTEGER NOT NULL,
    "since" DATE NOT NULL,
    "until" DATE NOT NULL,

    CONSTRAINT "SubstituteAbsence_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "SubstituteCall" (
    "id" SERIAL NOT NULL,
    "serviceId" INTEGER NOT NULL,
    "sectionCode" TEXT NOT NULL,
    "coversId" INTEGER,
    "substituteId" INTEGER NOT NULL,
    "state" "CallState" NOT NULL,
    "offeredAt" TIMESTAMPTZ(3) NOT NULL,
    "answeredAt" TIMESTAMPTZ(3),

    CONSTRAINT "SubstituteCall_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE UNIQUE INDEX "Substitute_email_key" ON "Substitute"("email");

-- CreateIndex
CREATE UNIQUE INDEX "Substitute_sectionCode_rank_key" ON "Substitute"("sectionCode", "rank");

-- CreateIndex
CREATE INDEX "SubstituteAbsence_substituteId_idx" ON "SubstituteAbsence"("substituteId");

-- CreateIndex
CREATE UNIQUE INDEX "SubstituteCall_serviceId_substituteId_key" ON "SubstituteCall"("serviceId", "substituteId");

-- AddForeignKey
ALTER TABLE "Substitute" ADD CONSTRAINT "Substitute_sectionCode_fkey" FOREIGN KEY ("sectionCode") REFERENCES "Section"("code") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "SubstituteAbsence" ADD CONSTRAINT "SubstituteAbsence_substituteId_fkey" FOREIGN KEY ("substituteId") REFERENCES "Substitute"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "SubstituteCall" ADD CONSTRAINT "SubstituteCall_serviceId_fkey" FOREIGN KEY ("serviceId") REFERENCES "Service"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "SubstituteCall" ADD CONSTRAINT "SubstituteCall_sectionCode_fkey" FOREIGN KEY ("sectionCode") REFERENCES "Section"("code") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "SubstituteCall" ADD CONSTRAINT "SubstituteCall_coversId_fkey" FOREIGN KEY ("coversId") REFERENCES "Member"("id") ON DELETE SET NULL ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "SubstituteCall" ADD CONSTRAINT "SubstituteCall_substituteId_fkey" FOREIGN KEY ("substituteId") REFERENCES "Substitute"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- By hand: what Prisma's schema has no words for
ALTER TABLE "SubstituteAbsence" ADD CONSTRAINT "SubstituteAbsence_dates_check" CHECK ("until" >= "since");
ALTER TABLE "SubstituteCall" ADD CONSTRAINT "SubstituteCall_answer_check" CHECK (("state" = 'OFFERED') = ("answeredAt" IS NULL));
CREATE UNIQUE INDEX "SubstituteCall_accepted_key" ON "SubstituteCall"("serviceId", "coversId") WHERE "state" = 'ACCEPTED';
