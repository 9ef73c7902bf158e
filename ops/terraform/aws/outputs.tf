output "store" {
  description = "The settings of the store, for `config` of the chart."
  value       = "[storage]\ndefault = \"media\"\n[stores.media]\nurl = \"s3://${aws_s3_bucket.objects.bucket}\"\n"
}

output "role_arns" {
  description = "For the annotation eks.amazonaws.com/role-arn of the service accounts, by role."
  value       = { for role, resource in aws_iam_role.objects : role => resource.arn }
}

output "database_endpoint" {
  description = "The host and port of Postgres."
  value       = aws_db_instance.this.endpoint
}

output "database_secret_arn" {
  description = "The secret with the user and the password of Postgres, which AWS rotates."
  value       = aws_db_instance.this.master_user_secret[0].secret_arn
}

output "repositories" {
  description = "The registries of the images, by name."
  value       = { for name, resource in aws_ecr_repository.this : name => resource.repository_url }
}
