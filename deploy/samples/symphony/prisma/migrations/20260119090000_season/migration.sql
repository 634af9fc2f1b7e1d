-- CreateEnum
CREATE TYPE "ServiceKind" AS ENUM ('REHEARSAL', 'DRESS_REHEARSAL', 'CONCERT', 'SCHOOL_CONCERT', 'RUN_OUT');

-- CreateEnum
CREATE TYPE "Presence" AS ENUM ('PRESENT', 'LATE', 'SICK', 'EXCUSED', 'ABSENT');

-- CreateTable
CREATE TABLE "Venue" (
    "id" SERIAL NOT NULL,
    "name" TEXT NOT NULL,
    "city" TEXT NOT NULL,
    "timeZone" TEXT NOT NULL,
    "capacity" INTEGER NOT NULL,
    "stage" TEXT,

    CONSTRAINT "Venue_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "Programme" (
    "id" SERIAL NOT NULL,
    "title" TEXT NOT NULL,
    "conductor" TEXT NOT NULL,
    "soloist" TEXT,

    CONSTRAINT "Programme_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "ProgrammeItem" (
    "programmeId" INTEGER NOT NULL,
    "position" INTEGER NOT NULL,
    "editionId" INTEGER NOT NULL,
    "afterInterval" BOOLEAN NOT NULL DEFAULT false,

    CONSTRAINT "ProgrammeItem_pkey" PRIMARY KEY ("programmeId", "position")
);

-- CreateTable
CREATE TABLE "Service" (
    "id" SERIAL NOT NULL,
    "programmeId" INTEGER NOT NULL,
    "venueId" INTEGER NOT NULL,
    "kind" "ServiceKind" NOT NULL,
    "startsAt" TIMESTAMPTZ(3) NOT NULL,
    "endsAt" TIMESTAMPTZ(3) NOT NULL,
    "dress" TEXT,
    "note" TEXT,

    CONSTRAINT "Service_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "Attendance" (
    "serviceId" INTEGER NOT NULL,
    "memberId" INTEGER NOT NULL,
    "presence" "Presence" NOT NULL,
    "minutesLate" INTEGER,

    CONSTRAINT "Attendance_pkey" PRIMARY KEY ("serviceId", "memberId")
);

-- CreateIndex
CREATE UNIQUE INDEX "Venue_name_city_key" ON "Venue"("name", "city");

-- CreateIndex
CREATE INDEX "Service_programmeId_idx" ON "Service"("programmeId");

-- CreateIndex
CREATE INDEX "Service_startsAt_idx" ON "Service"("startsAt");

-- CreateIndex
CREATE INDEX "Attendance_memberId_idx" ON "Attendance"("memberId");

-- AddForeignKey
ALTER TABLE "ProgrammeItem" ADD CONSTRAINT "ProgrammeItem_programmeId_fkey" FOREIGN KEY ("programmeId") REFERENCES "Programme"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "ProgrammeItem" ADD CONSTRAINT "ProgrammeItem_editionId_fkey" FOREIGN KEY ("editionId") REFERENCES "Edition"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Service" ADD CONSTRAINT "Service_programmeId_fkey" FOREIGN KEY ("programmeId") REFERENCES "Programme"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Service" ADD CONSTRAINT "Service_venueId_fkey" FOREIGN KEY ("venueId") REFERENCES "Venue"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Attendance" ADD CONSTRAINT "Attendance_serviceId_fkey" FOREIGN KEY ("serviceId") REFERENCES "Service"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Attendance" ADD CONSTRAINT "Attendance_memberId_fkey" FOREIGN KEY ("memberId") REFERENCES "Member"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- By hand: what Prisma's schema has no words for
ALTER TABLE "Service" ADD CONSTRAINT "Service_times_check" CHECK ("endsAt" > "startsAt");
ALTER TABLE "Attendance" ADD CONSTRAINT "Attendance_late_check" CHECK (("presence" = 'LATE') = ("minutesLate" IS NOT NULL));
